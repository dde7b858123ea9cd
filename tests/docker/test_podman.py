"""Podman, through the docker SDK and its service: batch mode, the same masks as without a container."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from tests.conftest import CI, order
from tests.tiny import PAINTER, make_dataset


@pytest.fixture(scope="module")
def podman_socket(tmp_path_factory):
    """Podman's service on a socket of the test's own; in CI it must be there."""
    if shutil.which("podman") is None:
        if CI:
            pytest.fail("podman is not installed; .ci/run installs it")
        pytest.skip("podman is not installed")
    socket = tmp_path_factory.mktemp("podman") / "podman.sock"
    # Podman's usual crun refuses hosts with hybrid cgroups, which runc takes
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


@pytest.mark.podman
@pytest.mark.slow
def test_podman_gives_the_same_masks_in_batches(project, tmp_path, podman_socket, monkeypatch):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"))
    local = order("painter", data, "box-clicks-5", engine="local")
    monkeypatch.setenv("DOCKER_HOST", podman_socket)
    run = order("painter", data, "box-clicks-5", engine="podman")
    assert run.info().engine.name == "podman"
    masks = [
        sorted(p.read_bytes() for p in (made.path / "masks").rglob("*.nii.gz"))
        for made in (run, local)
    ]
    assert masks[0] == masks[1]
    assert len(masks[0]) >= 6
    statuses = {m.status for r in run.records() for e in r.rounds for m in e.targets.values()}
    assert statuses == {"ok"}
    from evaluator.containers.engines import open_engine

    engine = open_engine("podman")
    assert engine.sweep(run.name) == []
    assert not engine.sessions
