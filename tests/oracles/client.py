"""The process of the peers: requests are sent as lines, arrays as files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

import numpy as np

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("UMD_ORACLES", ROOT / ".venv-oracles")) / "bin/python"


class Peers:
    """``with Peers(folder) as peers``: ``folder`` holds the arrays of requests."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self._folder = folder
        environment = dict(os.environ)
        if threads:
            environment |= {
                name: str(threads)
                for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
            }
        self._process = subprocess.Popen(
            [PYTHON, "-m", "tests.oracles.peers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, do: str, **request: Any) -> Any:
        """The answer; raises RuntimeError with the peer's error."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": do} | request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def load(self, name: str, reference: Any, prediction: Any) -> None:
        """Send a pair of label maps to the process."""
        files = [str(self._folder / f"{name}-{which}.npy") for which in "rp"]
        for file, array in zip(files, (reference, prediction), strict=True):
            np.save(file, array)
        self.ask("load", name=name, reference=files[0], prediction=files[1])
        for file in files:
            Path(file).unlink()

    def score(
        self, peer: str, name: str, labels: Any, spacing: Any, tolerance: float, **more: Any
    ) -> Any:
        """Seconds, peak memory, and numbers by label."""
        labels, spacing = [int(label) for label in labels], [float(step) for step in spacing]
        answer = self.ask(
            "score",
            peer=peer,
            name=name,
            labels=labels,
            spacing=spacing,
            tolerance=tolerance,
            **more,
        )
        return answer | {
            "scores": {int(label): values for label, values in answer["scores"].items()}
        }

    def skeleton(self, mask: Any) -> Any:
        """scikit-image's thinning of a mask."""
        files = [str(self._folder / f"{which}.npy") for which in ("mask", "skeleton")]
        np.save(files[0], mask)
        self.ask("skeleton", file=files[0], to=files[1])
        return np.load(files[1])
