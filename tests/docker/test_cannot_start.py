"""An image that cannot start is the model's failure; it stops neither other models nor a suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import order
from tests.tiny import PAINTER, add_model, make_dataset


def change(project: Path, name: str, old: str, new: str) -> None:
    file = project / "dockerfiles" / f"{name}.Dockerfile"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.docker
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", ', 'ENTRYPOINT ["/no/such/program", '),
        pytest.param(
            'ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", ',
            'ENTRYPOINT ["/etc/passwd", ',
            marks=pytest.mark.extended,
        ),
        pytest.param('umd.memory="512MiB"', 'umd.memory="1B"', marks=pytest.mark.extended),
    ],
)
def test_an_image_that_cannot_start_is_crashed(project, tmp_path, docker_engine, old, new):
    folder = project({"bad": PAINTER})
    change(folder, "bad", old, new)
    run = order("bad", make_dataset(tmp_path / "data", ["a"], ("CT",)))
    (record,) = run.records()
    target = record.rounds[0].targets["liver"]
    assert target.status == "crashed"
    assert "could not be set up" in target.detail


@pytest.mark.docker
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ENTRYPOINT ["python3"', 'ENTRYPOIN ["python3"'),
        pytest.param("COPY models/bad", "RUN false\nCOPY models/bad", marks=pytest.mark.extended),
    ],
)
def test_a_model_that_does_not_build_does_not_stop_the_next(
    project, tmp_path, docker_engine, old, new
):
    folder = project({"bad": PAINTER})
    add_model(folder, "good", PAINTER)
    change(folder, "bad", old, new)
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    command = ["run", "-m", "bad", "-m", "good", "-d", data, "-p", "point-1", "--recheck", "0"]
    done = subprocess.run(
        [Path(sys.executable).with_name("umd"), *command],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "model bad could not be run" in done.stderr
    assert "1 ok" in done.stdout
