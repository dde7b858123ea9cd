"""Podman through the docker SDK: batch mode gives the same masks as a run without a container."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import time

import pytest

from tests.conftest import order, skip_outside_ci
from tests.tiny import PAINTER, make_dataset


@pytest.fixture(scope="module")
def podman_socket(tmp_path_factory):
    """The service of Podman on a new socket. CI fails where Podman is missing."""
    if shutil.which("podman") is None:
        skip_outside_ci("podman is not installed; .ci/run installs it")
    socket = tmp_path_factory.mktemp("podman") / "podman.sock"
    # crun, the default runtime, refuses hosts with hybrid cgroups; runc accepts them
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    service = subprocess.Popen(
        ["podman", *runtime, "system", "service", "--time=0", f"unix://{socket}"],
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 30
    while not socket.exists() and time.monotonic() < end:
        time.sleep(0.1)
    yield f"unix://{socket}"
    service.kill()
    service.wait()


def masks(run):
    """The voxels of all masks of a run, by path.

    Files may differ where masks do not: one content has several compressed forms.
    """
    folder = run.path / "masks"
    return {
        str(path.relative_to(folder)): gzip.decompress(path.read_bytes())
        for path in folder.rglob("*.nii.gz")
    }


@pytest.mark.podman
@pytest.mark.slow
def test_podman_gives_the_same_masks_in_batches(project, tmp_path, podman_socket, monkeypatch):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"))
    local = order("painter", data, "box-clicks-5", engine="local")
    monkeypatch.setenv("DOCKER_HOST", podman_socket)
    run = order("painter", data, "box-clicks-5", engine="podman")
    assert run.info().engine.name == "podman"
    statuses = set()
    for record in run.records():
        for entry in record.rounds:
            statuses.update(prediction.status for prediction in entry.targets.values())
    assert statuses == {"ok"}
    expected = masks(local)
    found = masks(run)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert len(found) >= 6
    from evaluator.containers.engines import open_engine

    engine = open_engine("podman")
    assert engine.sweep(run.name) == []
    assert not engine.sessions
