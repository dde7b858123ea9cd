"""A container has every limit of the contract: the model reports which actions succeed."""

from __future__ import annotations

import json

import pytest

from evaluator.containers.engines.docker_values import docker_types
from evaluator.containers.engines.spec import Caller, Limits, Workspace, container_arguments
from evaluator.errors import HostError
from tests.conftest import order
from tests.tiny import make_dataset

PROBE = """
import importlib.util, os, socket, resource
from pathlib import Path
import numpy as np
from zoo_sdk import Prediction

def attempt(action):
    try:
        action()
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return "allowed"

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines if ":" in line)
        seen = sorted(str(path.relative_to("/input")) for path in Path("/input").rglob("*"))
        notes = {
            "uid": os.getuid(), "gid": os.getgid(), "home": os.environ["HOME"],
            "capabilities": int(status["CapEff"], 16),
            "no_new_privileges": status["NoNewPrivs"].strip(),
            "interfaces": sorted(os.listdir("/sys/class/net")),
            "connect": attempt(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
            "write_root": attempt(lambda: Path("/opt/model/x").write_text("x")),
            "write_input": attempt(lambda: Path("/input/x").write_text("x")),
            "write_tmp": attempt(lambda: Path("/tmp/x").write_text("x")),
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
            "environment": sorted(os.environ),
            "shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
            "seen": seen,
            "compiled": Path(importlib.util.cache_from_source(np.__file__)).is_file(),
        }
        masks = {t.name: np.zeros(request.grid.shape) for t in request.targets}
        return Prediction(masks, notes=notes)
"""


@pytest.mark.docker
def test_permissions_and_files_of_a_model(project, tmp_path, docker_engine, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "of the host")
    project({"probe": PROBE}, shm="64MiB")
    run = order("probe", make_dataset(tmp_path / "data", ["secretname"], ("CT",)))
    (record,) = run.records()
    notes = record.rounds[0].reply.notes
    assert notes["compiled"]
    assert notes["uid"] != 0
    assert notes["gid"] != 0
    assert notes["capabilities"] == 0
    assert notes["no_new_privileges"] == "1"
    assert notes["interfaces"] == ["lo"]
    assert notes["connect"] == "Network is unreachable"
    assert notes["write_root"] == notes["write_input"] == "Read-only file system"
    assert notes["write_tmp"] == "allowed"
    assert notes["home"] == "/tmp"
    assert notes["core"] == 0
    assert notes["shm"] == 64 * 2**20
    assert "SECRET_TOKEN" not in notes["environment"]
    assert "secretname" not in json.dumps(notes)
    assert "reference" not in json.dumps(notes["seen"])
    assert sorted({name.split("/")[0] for name in notes["seen"]}) == ["images", "masks", "requests"]


def test_the_container_options(tmp_path):
    workspace = Workspace(input=tmp_path / "in", output=tmp_path / "out")
    caller = Caller(uid=1000, gid=1001, pid=7, host="box", memory=10 * 2**30, started="9")
    limits = Limits(timeout=9, memory=2**30, output_bytes=2**20)
    options = container_arguments(
        "umd/m:1",
        workspace,
        limits,
        caller,
        name="n",
        run_id="r",
        mode="serve",
        command=["serve"],
        gpu="GPU-1",
    )
    assert options == {
        "image": "umd/m:1",
        "command": ["serve"],
        "name": "n",
        "labels": {"umd.run": "r", "umd.pid": "7", "umd.started": "9", "umd.host": "box"},
        "user": "1000:1001",
        "environment": {"HOME": "/tmp", "UMD_GPU": "GPU-1"},
        "working_dir": "/tmp",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": 1024,
        "healthcheck": {"test": ["NONE"]},
        "mem_limit": 2**30,
        "memswap_limit": 2**30,
        "shm_size": 2**30,
        "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,size={4 * 2**30}"},
        "mounts": [
            {
                "source": str(tmp_path / "in"),
                "target": "/input",
                "type": "bind",
                "read_only": True,
            },
            {
                "source": str(tmp_path / "out"),
                "target": "/output",
                "type": "bind",
                "read_only": False,
            },
        ],
        "ulimits": [
            {"name": "fsize", "soft": 2**20, "hard": 2**20},
            {"name": "core", "soft": 0, "hard": 0},
            {"name": "nofile", "soft": 4096, "hard": 4096},
        ],
        "device_requests": [{"device_ids": ["GPU-1"], "capabilities": [["gpu"]]}],
        "stdin_open": True,
        "log_config": {"max-size": "20m", "max-file": "1"},
    }
    root = Caller(uid=0, gid=0, pid=7, host="box", memory=10 * 2**30)
    options = container_arguments(
        "umd/m:1",
        workspace,
        Limits(timeout=1),
        root,
        name="n",
        run_id="r",
        mode="batch",
        command=[],
        podman=True,
    )
    assert options["user"] == "65534:65534"
    assert options["mem_limit"] == options["memswap_limit"] == 9 * 2**30
    assert {"name": "nproc", "soft": 1024, "hard": 1024} in options["ulimits"]
    assert options["device_requests"] == []


@pytest.mark.parametrize("gpu", ["GPU-5c89852c", "MIG-c0b2aaaa"])
def test_a_gpu_that_is_named_is_asked_for_by_its_uuid_or_refused(tmp_path, gpu):
    workspace = Workspace(input=tmp_path / "in", output=tmp_path / "out")
    settings = {"name": "n", "run_id": "r", "mode": "batch", "command": [], "gpu": gpu}
    caller = Caller(uid=0, gid=0, pid=7, host="box", memory=10 * 2**30)
    options = container_arguments("i", workspace, Limits(timeout=1), caller, **settings)
    (request,) = docker_types(options)["device_requests"]
    # neither a count nor "all" besides, which would show other GPUs
    assert request["DeviceIDs"] == [gpu]
    assert request["Count"] is None or request["Count"] == 0
    assert options["environment"]["UMD_GPU"] == gpu
    # Podman's service would run the model on the CPU and say nothing
    with pytest.raises(HostError, match="use --engine podman, or --gpus none"):
        container_arguments("i", workspace, Limits(timeout=1), caller, podman=True, **settings)
