"""docs/taking-part.md is followed literally, from an adapter to a leaderboard, with Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.docker_client import BuildClient
from tests.docker.test_bring_your_image import BLOCK

PAGE = Path(__file__).parents[2] / "docs" / "taking-part.md"


@pytest.mark.docker
@pytest.mark.extended
def test_the_page_can_be_followed(docker_engine, tmp_path):
    ensure_base("base", BuildClient(docker_engine.client))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UMD_MODELS": str(tmp_path / "models"),
        "UMD_RUNS": str(tmp_path / "runs"),
        "UMD_CACHE": str(paths.cache()),
        "UMD_PROJECT": str(PAGE.parents[1]),
    }
    outputs = {}
    for block in BLOCK.finditer(PAGE.read_text()):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"])
        lines = block["text"].splitlines() if block["kind"] == "console" else ()
        for line in lines:
            command = line.removeprefix("$ ")
            done = subprocess.run(
                shlex.split(command), cwd=tmp_path, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            outputs[" ".join(command.split()[:3])] = done.stdout
    assert "FAIL" not in outputs["umd models check"]
    assert outputs["umd challenge inspect"].endswith("accepted\n")
    assert "1 submission evaluated" in outputs["umd challenge work"]
    assert re.search(r"us +box +test .* scored", outputs["umd challenge status"])
    body = json.loads((tmp_path / "site" / "leaderboard.json").read_text())
    (entry,) = body["boards"][0]["entries"]
    assert (entry["team"], entry["place"], entry["isolates"]) == ("us", 1, True)
    assert entry["predictions"] == {"ok": 52}
    assert 0.3 < entry["scores"][0]["value"] < 0.95
    (folder,) = (tmp_path / "rehearsal" / "submissions").iterdir()
    registered = (tmp_path / "rehearsal" / "models" / f"{folder.name}.toml").read_text()
    docker_engine.client.images.remove("bright:latest", force=True)
    assert "sha256:" in registered
