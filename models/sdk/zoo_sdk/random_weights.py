"""Write random weights during an image's build: ``python -m zoo_sdk.random_weights SCRIPT WHICH``.

WHICH is the build argument WEIGHTS; unless it is ``random:small`` or ``random:full`` nothing is
done. The script defines ``write(size, folder)``, which makes checkpoint files of the published
format there, from seed ``SEED``. Whoever the image runs as can read them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import List

from zoo_sdk.weights import MARK, weights_folder

SEED = 0


def main(arguments: List[str]) -> int:
    """Run the command; returns the exit status."""
    script, which = arguments
    kind, _, size = which.partition(":")
    if kind != "random":
        return 0
    spec = importlib.util.spec_from_file_location("random_weights_of_model", script)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(script)
    sys.path.insert(0, str(Path(script).parent))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    module.write(size, folder)
    (folder / MARK).write_text(json.dumps({"weights": which, "seed": SEED}), encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        # some writers (safetensors) make a file readable for its owner only, here the builder
        path.chmod(0o755 if path.is_dir() else 0o644)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
