"""Limits that a model meets in its container: cores, volumes of its image, files without a name."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.conftest import order, skip_outside_ci
from tests.tiny import make_dataset

CURIOUS = """
import os, shutil, subprocess, time
from pathlib import Path
import numpy as np
from zoo_sdk import Prediction

def attempt(path):
    try:
        path.write_text("x")
    except OSError as error:
        return os.strerror(error.errno)
    return "allowed"

def user_of(program):
    return int(subprocess.run([program, "-u"], stdout=subprocess.PIPE).stdout)

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
        shutil.copy("/opt/id", "/output/id")
        os.chmod("/output/id", 0o6777)
        quota = "none"
        for path in ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"):
            if os.path.exists(path):
                quota = Path(path).read_text().strip()
        notes = {
            "volume": attempt(Path("/scratch/x")),
            "seen": os.listdir("/scratch"),
            "size": os.statvfs("/scratch").f_blocks * os.statvfs("/scratch").f_frsize,
            "quota": quota,
            "uid": os.getuid(),
            "as_set_user_id": [user_of("/opt/id"), user_of("/output/id")],
        }
        masks = {t.name: np.zeros(request.grid.shape) for t in request.targets}
        return Prediction(masks, notes=notes)
"""


@pytest.fixture
def curious(project):
    folder = project({"curious": CURIOUS})
    file = folder / "dockerfiles" / "curious.Dockerfile"
    lines = (
        "RUN cp /usr/bin/id /opt/id && chmod 4755 /opt/id\n"
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
    # no-new-privileges: a program of root with set-user-id runs as the container's user
    assert notes["as_set_user_id"] == [notes["uid"], notes["uid"]]
    assert [path for path in run.path.rglob("*") if path.stat().st_mode & 0o6000] == []
    limits = run.info().limits
    if os.geteuid() == 0:
        assert limits.output_limit == "enforced"
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


FILLS = """
import os
import numpy as np
from zoo_sdk import Prediction

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        name = request.targets[0].name
        refused = 0
        if name == "allocates":
            for number in range(22):
                with open("/output/%d" % number, "wb") as file:
                    try:
                        os.posix_fallocate(file.fileno(), 0, 2**23)
                    except OSError as error:
                        refused += 1
        masks = {t.name: np.zeros(request.grid.shape) for t in request.targets}
        return Prediction(masks, notes={"refused": refused})
"""


@pytest.mark.docker
def test_space_that_is_reserved_at_once_is_refused_and_blamed_on_its_request(
    project, tmp_path, docker_engine, monkeypatch
):
    """22 GiB were reserved in 14 ms, and the next request was blamed."""
    from evaluator.containers import model_limits

    if os.geteuid() != 0:
        skip_outside_ci("the output folder is limited only for root")
    monkeypatch.setattr(model_limits, "OUTPUT_LIMIT", 2**26)
    free = shutil.disk_usage(tmp_path).free
    project({"fills": FILLS})
    rows = []
    for name in ("allocates", "honest"):
        data = make_dataset(tmp_path / name, [name], ("CT",), (name,))
        rows.append((tmp_path / name / "tiny.tsv").read_text().splitlines()[-1])
    for file in (tmp_path / "allocates").glob("*.nii.gz"):
        shutil.copy(file, tmp_path / "honest")
    header = (tmp_path / "honest" / "tiny.tsv").read_text().splitlines()[0]
    (tmp_path / "honest" / "tiny.tsv").write_text("\n".join([header, *rows]) + "\n")
    for batch in (False, True):
        run = order("fills", data, batch=batch, force=True, name=f"batch-{batch}")
        statuses = {}
        for record in run.records():
            ((target, prediction),) = record.rounds[0].targets.items()
            statuses[target] = prediction.status
        assert statuses == {"allocates": "too-large", "honest": "ok"}
    assert shutil.disk_usage(tmp_path).free > free - 2**30
