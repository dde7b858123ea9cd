"""docs/bring-your-image.md is followed literally: its files are written, its commands run."""

from __future__ import annotations

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

PAGE = Path(__file__).parents[2] / "docs" / "bring-your-image.md"
BLOCK = re.compile(r"(?:File `(?P<file>[^`]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)


@pytest.mark.docker
def test_the_page_can_be_followed(docker_engine, tmp_path, monkeypatch):
    ensure_base("base", BuildClient(docker_engine.client))
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UMD_MODELS": str(tmp_path / "models"),
        "UMD_CACHE": str(paths.cache()),
    }
    outputs = {}
    for block in BLOCK.finditer(PAGE.read_text()):
        if block["file"]:
            (tmp_path / block["file"]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block["file"]).write_text(block["text"])
        if block["kind"] != "console":
            continue
        for line in block["text"].splitlines():
            command = line.removeprefix("$ ")
            done = subprocess.run(
                shlex.split(command), env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            outputs[command.split(" --")[0]] = done.stdout
    assert "contract    cvpr25" in outputs["umd models add teamx"]
    assert re.search(r"^teamx-ct +built +CT ", outputs["umd models list"], re.MULTILINE)
    scores = outputs["umd run -m teamx -d phantom-toy -p cvpr25"]
    assert re.search(r"Predictions: \d+ ok\.", scores), scores
    checked = outputs["umd models check teamx"]
    assert re.search(
        r"^ok   contract: cvpr25, named when the model was added", checked, re.MULTILINE
    )
    assert "the first request again: an equal mask" in checked
    assert "FAIL" not in checked
    output = outputs["umd run -m boxes -d phantom-toy -p box"]
    assert re.search(r"Predictions: \d+ ok\.", output), output
    assert "DSC_AUC" in outputs["umd show teamx-toy"]
    docker_engine.client.images.remove("teamx:latest", force=True)
