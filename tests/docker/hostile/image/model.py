"""A hostile model: each request names by its target what the model does. Runs in a container.

It speaks contract 1 itself, so that it can break it. A target that is no attack is answered
honestly: the voxel of the prompt's point and its neighbours are 1.
"""

from __future__ import annotations

import sys

import files
import masks
import reading
import replies
import resources
import rights
from request import Request, say

ATTACKS = {
    **reading.ATTACKS,
    **rights.ATTACKS,
    **files.ATTACKS,
    **replies.ATTACKS,
    **resources.ATTACKS,
    **masks.ATTACKS,
}


def honest(request):
    request.write()
    request.say()


def main():
    say('{"ready": true, "contract": 1}')
    for line in sys.stdin:
        request = Request(line.strip())
        ATTACKS.get(request.attack, honest)(request)


if __name__ == "__main__":
    main()
