"""Write and read signed results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.challenges.folder import write_json_once
from evaluator.challenges.signing import load_private_key, load_public_key, read_signed, sign
from evaluator.errors import UserError
from evaluator.runs.json_types import dump

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.folder import ChallengeFolder
    from evaluator.challenges.result_file import ChallengeResult


def write_signed(folder: ChallengeFolder, path: Path, result: ChallengeResult) -> bool:
    """Sign a result and write it; False if the file exists, which stays.

    Raises:
        UserError: the signing key is missing or other users can read it.
        HostError: the file cannot be written.
    """
    body = sign(dump(result), load_private_key(folder.signing_key))
    return write_json_once(path, body)


def result_problem(path: Path, public_key: Path) -> str:
    """What is wrong with the signature of a result; empty: it is right.

    Raises:
        UserError: the public key cannot be read.
    """
    key = load_public_key(public_key)
    try:
        read_signed(path, key)
    except UserError as error:
        return str(error)
    return ""
