"""The GPU check without a GPU: networks laid out as in their images, results written at once."""

from __future__ import annotations

import json
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from benchmarks import gpu_check, gpu_networks, gpu_sessions
from benchmarks.gpu_check import Check, Row, dice, measure, run
from tests.tiny import ROOT

ADAPTER = """
import numpy as np
from zoo_sdk import Adapter as Base
from zoo_sdk import read_image

class Adapter(Base):
    def predict(self, request):
        bright = read_image(request).array > 300
        return {target.name: bright for target in request.targets}
"""


@pytest.fixture
def check(tmp_path):
    return Check(
        gpu="",
        device="the CPU",
        bundle=None,
        work=tmp_path / "work",
        out=tmp_path,
        deadline=time.monotonic() + 60,
    )


def lines(check):
    return [json.loads(line) for line in (check.out / "gpu-check.jsonl").read_text().splitlines()]


def test_every_network_is_laid_out_with_what_its_adapter_imports(tmp_path):
    names = [*gpu_networks.networks(), *gpu_networks.SAME_NETWORK]
    assert names[:2] == ["vista3d", "sam-med3d"]
    # a network without a place in the order would be measured last, and perhaps never
    assert set(gpu_networks.ORDER) == set(gpu_networks.networks())
    for name in names:
        text = Path(ROOT, "dockerfiles", f"{name}.Dockerfile").read_text()
        if "parts/upstream" in text:
            with pytest.raises(gpu_networks.MissingError, match="upstream's source"):
                gpu_networks.lay_out(name, tmp_path / name, None)
            continue
        network = gpu_networks.lay_out(name, tmp_path / name, None)
        files = {path.stem for path in network.adapter.parent.glob("*.py")}
        assert {"adapter", "network", "pipeline", "random_weights"} <= files
        assert network.modality in ("CT", "MR", "PT")
        assert network.labels["gpu-memory"].endswith("GiB")


def test_a_bundle_is_unpacked_and_nothing_is_installed(tmp_path):
    part = tmp_path / "bundle/sat-nano"
    (part / "wheels/cpu").mkdir(parents=True)
    (part / "upstream").mkdir()
    with zipfile.ZipFile(part / "wheels/cpu/a.whl", "w") as wheel:
        wheel.writestr("package/__init__.py", "")
    (tmp_path / "top").mkdir()
    (tmp_path / "top/model.py").write_text("")
    with tarfile.open(part / "upstream/sat-0123456789ab.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "top", "SAT-0123")
    network = gpu_networks.lay_out("sat-nano", tmp_path / "sat", tmp_path / "bundle")
    assert (tmp_path / "sat/sat/model.py").is_file()
    assert (tmp_path / "sat/packages/package/__init__.py").is_file()
    assert network.environment["SAT_VARIANT"] == "nano"
    # NV-Segment-CTMR has the lock of VISTA3D
    (tmp_path / "bundle/vista3d/wheels/cpu").mkdir(parents=True)
    assert gpu_networks._lock_of("nv-segment-ctmr", tmp_path / "bundle") == "vista3d"


def test_both_parts_run_with_the_command_of_engine_local(check, tmp_path, monkeypatch):
    (tmp_path / "adapter.py").write_text(ADAPTER)
    labels = {"inputs": "PT | CT", "prompts": "", "targets": "liver,spleen", "gpu-memory": "8GiB"}
    paths = f"{ROOT}/models/sdk"
    network = gpu_networks.Network(
        name="bright",
        labels=labels,
        adapter=tmp_path / "adapter.py",
        environment={"PYTHONPATH": paths},
    )
    monkeypatch.setattr(gpu_check, "lay_out", lambda *_: network)
    monkeypatch.setattr(gpu_check, "write_weights", lambda *_: "")
    monkeypatch.setattr(gpu_check, "SMALL", (16, 12, 10))
    run(check, ["bright"])
    full, equal = lines(check)
    assert full["state"] == equal["state"] == "ok"
    assert full["rehearsal"] is True
    assert full["targets"] == 2
    assert 0 < full["request_s"] < 60
    assert equal["dice_lowest"] == 1
    assert equal["voxels"] > 0
    table = (tmp_path / "gpu-check.md").read_text()
    assert table.startswith("REHEARSAL ON THE CPU")
    assert "| `bright` | full ok, equal ok |" in table


def test_what_a_network_lacks_and_the_end_of_the_time_are_results(check):
    check.rows = {"a": Row(network="a")}
    run(check, ["sat-nano", "no-such-network"])
    check.deadline = time.monotonic() - 1
    run(check, ["vista3d"])
    assert [(line["network"], line["state"]) for line in lines(check)] == [
        ("sat-nano", "not run"),
        ("no-such-network", "not run"),
        ("vista3d", "not run"),
    ]
    details = [line["detail"] for line in lines(check)]
    assert "umd models fetch" in details[0]
    assert "no no-such-network.Dockerfile" in details[1]
    assert details[2] == "no time was left"


def test_an_adapter_that_ends_fails_its_part_alone(check, monkeypatch):
    network = gpu_networks.Network(
        name="n", labels={"gpu-memory": ""}, adapter=Path("a"), environment={}
    )

    class Prepared:
        def result(self, timeout):
            return network

    def ends(*_):
        raise gpu_sessions.SessionError("the adapter ended")

    monkeypatch.setattr(gpu_check, "full_size", ends)
    monkeypatch.setattr(gpu_check, "cpu_equals_gpu", lambda *_: ("ok", "", {"dice_lowest": 0.5}))
    check.rows["n"] = Row(network="n")
    measure(check, check.rows["n"], Prepared())
    assert [line["state"] for line in lines(check)] == ["failed", "ok"]


def test_dice_of_empty_masks_is_one():
    empty = gpu_sessions.noise((4, 4, 4), 0) > 10**6
    assert dice(empty, empty) == 1
    assert dice(empty, ~empty) == 0
