"""Limits that a model meets in its container: cores, volumes of its image, files without a name."""

from __future__ import annotations

import pytest

from tests.conftest import order
from tests.tiny import make_dataset

CURIOUS = """
import os, time
from pathlib import Path
import numpy as np
from zoo_sdk import Prediction

def attempt(path):
    try:
        path.write_text("x")
    except OSError as error:
        return os.strerror(error.errno)
    return "allowed"

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        name = request.targets[0].name
        if name == "hidden":
            files = [open("/output/%d" % n, "wb") for n in range(4)]
            for n, file in enumerate(files):
                os.unlink("/output/%d" % n)
                file.write(bytes(10 * 2**20))
                file.flush()
            time.sleep(30)
        quota = "none"
        for path in ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"):
            if os.path.exists(path):
                quota = Path(path).read_text().strip()
        notes = {
            "volume": attempt(Path("/scratch/x")),
            "seen": os.listdir("/scratch"),
            "size": os.statvfs("/scratch").f_blocks * os.statvfs("/scratch").f_frsize,
            "quota": quota,
        }
        masks = {t.name: np.zeros(request.grid.shape) for t in request.targets}
        return Prediction(masks, notes=notes)
"""


@pytest.fixture
def curious(project):
    folder = project({"curious": CURIOUS})
    file = folder / "dockerfiles" / "curious.Dockerfile"
    lines = (
        "RUN mkdir /scratch && echo content > /scratch/kept && chmod 1777 /scratch\n"
        "VOLUME /scratch\nENTRYPOINT"
    )
    file.write_text(file.read_text().replace("ENTRYPOINT", lines))
    return folder


@pytest.mark.docker
def test_volumes_are_bounded_and_cores_are_limited(curious, tmp_path, docker_engine):
    before = {volume.id for volume in docker_engine.client.volumes.list()}
    run = order("curious", make_dataset(tmp_path / "data", ["a"], ("CT",)))
    (record,) = run.records()
    notes = record.rounds[0].reply.notes
    assert notes["volume"] == "allowed"
    assert notes["seen"] == ["x"]
    assert notes["size"] == 4 * 2**30
    limits = run.info().limits
    assert limits.cpus == max(docker_engine.capacity().cores - 1, 1)
    assert notes["quota"].split()[0] == str(int(limits.cpus * 100_000))
    assert {volume.id for volume in docker_engine.client.volumes.list()} <= before


@pytest.mark.docker
def test_a_file_without_a_name_is_too_large(curious, tmp_path, docker_engine, monkeypatch):
    from evaluator.containers import model_limits

    monkeypatch.setattr(model_limits, "OUTPUT_LIMIT", 2**24)
    data = make_dataset(tmp_path / "data", ["a"], ("CT",), ("hidden",))
    run = order("curious", data)
    (record,) = run.records()
    assert record.rounds[0].targets["hidden"].status == "too-large"
