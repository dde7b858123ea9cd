"""How our loader refuses folders that are not TotalSegmentator's weights: a JSON line for each.

python totalsegmentator_folders.py SIZE
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [
    str(ROOT / "models/sdk"),
    str(ROOT / "models/totalsegmentator"),
    str(ROOT / "models/nnunet"),
]

import network  # noqa: E402
import random_weights  # noqa: E402
from results import CHECKPOINT, DATASET, PLANS, write_json  # noqa: E402

from zoo_sdk.weights import WrongWeights  # noqa: E402


def results(folder: Path, part: str) -> Path:
    """A part's results folder."""
    return next((folder / part).rglob(PLANS)).parent


def label_less(folder: Path) -> None:
    """A part that was trained with one label less, as its dataset.json says."""
    path = results(folder, "293") / DATASET
    content = json.loads(path.read_text())
    content["labels"].popitem()
    write_json(path, content)


def exchanged(folder: Path) -> None:
    """Vertebrae and ribs: 26 classes each."""
    for old, new in (("292", "other"), ("295", "292"), ("other", "295")):
        (folder / old).rename(folder / new)


def cut(folder: Path) -> None:
    """A checkpoint that was not copied to its end."""
    path = results(folder, "851") / "fold_0" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:5000])


CASES = {
    "the right ones": lambda folder: None,
    "no ribs": lambda folder: shutil.rmtree(folder / "295"),
    "no MR": lambda folder: [shutil.rmtree(folder / part) for part in ("850", "851")],
    "vertebrae for ribs": exchanged,
    "a label less": label_less,
    "cut off": cut,
}


def main(size: str) -> None:
    """Try all."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        good, folder = Path(name, "good"), Path(name, "tried")
        random_weights.write(size, good)
        os.environ["UMD_WEIGHTS"] = str(folder)
        for case, spoil in CASES.items():
            shutil.copytree(good, folder)
            spoil(folder)
            refused = None
            try:
                network.TotalSegmentator()
            except WrongWeights as error:
                refused = str(error).replace(name, "")
            shutil.rmtree(folder)
            print(json.dumps({"case": case, "refused": refused}), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
