"""docs/organising-a-challenge.md is followed literally, from a new challenge to signed results."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from evaluator import paths

PAGE = Path(__file__).parents[2] / "docs" / "organising-a-challenge.md"


def run_in(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the page in a folder."""
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UMD_CACHE": str(paths.cache()),
        "UMD_PROJECT": str(PAGE.parents[1]),
    }
    return subprocess.run(
        shlex.split(line.removeprefix("$ ")),
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_can_be_followed(tmp_path):
    outputs = {}
    (block,) = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for line in block.splitlines():
        ended = run_in(tmp_path, line)
        assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
        outputs[line.split()[3]] = ended.stdout + ended.stderr
    assert "1 submission evaluated" in outputs["work"]
    assert re.search(r"blue +box +test .* scored", outputs["status"])
    assert "2 results have a right signature" in outputs["verify"]
    folder = tmp_path / "rehearsal"
    before, after = (
        json.loads(path.read_text()) for path in sorted(folder.glob("submissions/*/results/*.json"))
    )
    assert after["reason"] == "rescored: a rehearsal"
    assert after["totals"] == before["totals"]
    dice = [t["value"] for t in before["totals"] if (t["metric"], t["modality"]) == ("dice", "")]
    # an ellipsoid in the box of round organs
    assert 0.5 < dice[0] < 0.95
    assert before["synthetic"]
    assert before["image_blind"]

    # a result that was changed, and a line of the log that was changed, are found
    path = min(folder.glob("submissions/*/results/*.json"))
    path.write_text(path.read_text().replace('"blue"', '"red"'))
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0].replace("created", "crea7ed"), *lines[1:]]) + "\n")
    ended = run_in(tmp_path, "umd challenge verify rehearsal")
    assert ended.returncode == 1
    assert "line 1" in ended.stdout + ended.stderr
    assert path.name in ended.stdout + ended.stderr
