"""Preflight: files of weights are recognised without running them, and a wrong one is named."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.analysis.data_warnings import unverified_line
from evaluator.cli.models import models
from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256
from evaluator.runs.run_info import WeightsInfo
from evaluator.zoo import zoo
from evaluator.zoo.conformance.readme_table import badge_table
from evaluator.zoo.preflight.expectations import read_expectations
from evaluator.zoo.preflight.file_kinds import other_format
from evaluator.zoo.preflight.recording import record_expectations
from evaluator.zoo.preflight.tensor_list import Tensor, TensorList, read_tensor_list
from evaluator.zoo.preflight.verdict import name_of_weights, preflight_state
from evaluator.zoo.preflight.weight_files import check_files, require_right_files
from evaluator.zoo.sources import read_sources

SHAPES = {"encoder.weight": (4, 1, 3, 3, 3), "encoder.bias": (4,), "head.weight": (2, 4)}


class Storage:
    """Stands for a tensor's numbers."""


class FakeTensor:
    """Pickles as a tensor of torch does."""

    def __init__(self, shape):
        self.shape = shape

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(), 0, self.shape, (1,) * len(self.shape), False, {})


class Evil:
    """Pickles as a call of os.system."""

    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/umd-preflight-ran-code",)


@pytest.fixture
def save(monkeypatch, tmp_path):
    """``torch.save`` without torch: an archive with a pickle whose tensors are torch's."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_):
        raise AssertionError("a tensor was rebuilt")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    storage_type = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage, torch._utils = storage_type, utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", storage_type, "0", "cpu", 1) if isinstance(obj, Storage) else None

    def write(name, body):
        buffer = io.BytesIO()
        Pickler(buffer, protocol=2).dump(body)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", buffer.getvalue())
            archive.writestr("archive/data/0", b"\0" * 1000)
        return path

    return write


def state(prefix=""):
    """As of a module: an ordered dict with an attribute."""
    tensors = OrderedDict((prefix + name, FakeTensor(shape)) for name, shape in SHAPES.items())
    tensors._metadata = OrderedDict({"": {"version": 1}})
    return tensors


def safetensors(path, shapes=SHAPES):
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * offset)
    return path


EXPECTED = {name: Tensor(shape=shape, dtype="float32") for name, shape in SHAPES.items()}


@pytest.mark.parametrize("wrapper", [None, "model_state_dict", "network_weights", "state_dict"])
def test_tensors_are_read_from_every_format(save, tmp_path, wrapper):
    body = {wrapper: state(), "epoch": 3, "step": 7} if wrapper else state()
    tensors = read_tensor_list(save("a.pth", body))
    assert dict(tensors.tensors) == EXPECTED
    assert tensors.numbers == 4 * 27 + 4 + 8
    assert tensors.step == (7 if wrapper else None)
    assert tensors.foreign == ()
    other = read_tensor_list(safetensors(tmp_path / "a.safetensors"))
    assert other.digest() == tensors.digest()
    np.savez(tmp_path / "a.npz", **{n: np.zeros(s, np.float32) for n, s in SHAPES.items()})
    assert read_tensor_list(tmp_path / "a.npz").digest() == tensors.digest()
    (tmp_path / "plans.json").write_text("{}")
    assert read_tensor_list(tmp_path / "plans.json") is None


def test_code_in_a_pickle_is_named_and_not_run(save, tmp_path):
    tensors = read_tensor_list(save("a.pth", {"state_dict": state(), "trainer": Evil()}))
    assert tensors.foreign in (("posix.system",), ("nt.system",))
    assert dict(tensors.tensors) == EXPECTED
    assert not Path("/tmp/umd-preflight-ran-code").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + b"\0" * 500, "truncated"),
        (b"<!DOCTYPE html><html>sign in", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        (b"", "an empty file"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_is_no_checkpoint_is_named(tmp_path, content, message, name):
    (tmp_path / name).write_bytes(content)
    if content.startswith(b"PK") and name == "a.safetensors":
        assert read_tensor_list(tmp_path / name) is None
        assert "an archive" in other_format(tmp_path / name)
        return
    with pytest.raises(ModelFilesError, match=message):
        read_tensor_list(tmp_path / name)


def test_a_file_of_another_format_is_named_and_not_opened(tmp_path):
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"trainer": Evil()}))
    safetensors(tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(b"noise" * 20)
    messages = ("a bare pickle", "a file of safetensors", "no checkpoint of torch")
    for name, message in zip("abc", messages, strict=True):
        path = tmp_path / f"{name}.pth"
        assert read_tensor_list(path) is None
        assert message in other_format(path)
    assert not Path("/tmp/umd-preflight-ran-code").exists()


@pytest.mark.parametrize("length", [0x0280, 0x0480])
def test_safetensors_whose_length_begins_as_a_pickle_are_read(tmp_path, length):
    """The format pads its header with spaces, so 128 may be the lowest byte of its length."""
    path = safetensors(tmp_path / "a.safetensors")
    content = path.read_bytes()
    (written,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + written].ljust(length)
    path.write_bytes(struct.pack("<Q", length) + header + content[8 + written :])
    assert path.read_bytes().startswith(b"\x80")
    assert dict(read_tensor_list(path).tensors) == EXPECTED
    path = path.rename(tmp_path / "a.pth")
    assert "a file of safetensors" in other_format(path)


def test_a_pickle_under_the_name_of_safetensors_is_not_opened(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(pickle.dumps({"trainer": Evil()}))
    assert read_tensor_list(path) is None
    assert "a bare pickle" in other_format(path)


def test_truncated_files_are_named(save, tmp_path):
    path = safetensors(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelFilesError, match="its header says"):
        read_tensor_list(path)
    path = save("a.pth", state())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ModelFilesError, match="truncated"):
        read_tensor_list(path)


@pytest.fixture
def model(project, save, tmp_path):
    """A model with one file of weights, whose tensors are recorded."""
    folder = project({"net": ""}) / "models" / "net"
    (folder / "sources.toml").write_text(
        'base = "umd/torch"\n[code]\norigin = "x"\nlicense = "MIT"\n[[weights]]\n'
        'into = "net.pth"\nurl = "https://host/net.pth"\nsha256 = "unverified"\n'
        'license = "CC-BY-NC-4.0"\ncommercial = "no"\n'
    )
    (folder / "expected.toml").write_text(
        '[[other]]\nname = "the MONAI 1.3 variant"\ntensor = "old_head"\n'
        '[[other]]\nname = "the demonstration\'s file"\nbytes = 17\n'
    )
    weights = tmp_path / "full"
    save("full/net.pth", {"network_weights": state() | {"unused.w": FakeTensor((3,))}})
    record_expectations("net", weights, {"net.pth": "net.pth"}, ("unused.",))
    return SimpleNamespace(folder=folder, weights=tmp_path / "weights", sources=read_sources("net"))


def results_of(model):
    return list(check_files("net", model.sources, model.weights))


def test_the_expected_file_passes(model, save):
    assert read_expectations("net").file[0].tensors == 3
    save("weights/net.pth", {"network_weights": state()})
    results = results_of(model)
    assert [result.state for result in results] == ["unknown", "ok"]
    assert "3 tensors as in the architecture" in results[1].detail
    require_right_files("net", model.sources, model.weights)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda: state("network."), "right tensors under the names network."),
        (lambda: state() | {"old_head.w": FakeTensor((1,))}, "is the MONAI 1.3 variant"),
        (lambda: {"encoder.weight": FakeTensor((1,))}, "a checkpoint of another network"),
        (lambda: state() | {"head.weight": FakeTensor((2, 5))}, "a checkpoint of another network"),
    ],
)
def test_a_wrong_file_is_named_as_what_it_is(model, save, body, message):
    save("weights/net.pth", body())
    with pytest.raises(ModelFilesError) as error:
        require_right_files("net", model.sources, model.weights)
    text = str(error.value)
    assert message in text
    assert "net.pth" in text
    assert "net needs 3 tensors with 120 numbers" in text


def test_a_file_of_another_model_is_named_with_that_model(model, save):
    other = model.folder.parent / "second"
    other.mkdir()
    (model.folder.parents[1] / "dockerfiles" / "second.Dockerfile").write_text(
        (model.folder.parents[1] / "dockerfiles" / "net.Dockerfile")
        .read_text()
        .replace('umd.name="net"', 'umd.name="second"')
    )
    save("second/b.pth", {"a.w": FakeTensor((9,)), "b.w": FakeTensor((8,))})
    record_expectations("second", model.weights.parent / "second", {"b.pth": "b.pth"}, ())
    save("weights/net.pth", {"a.w": FakeTensor((9,)), "b.w": FakeTensor((8,))})
    with pytest.raises(ModelFilesError, match=r"is b\.pth of model second"):
        require_right_files("net", model.sources, model.weights)


def test_bytes_and_hash_decide_before_tensors(model, save):
    path = save("weights/net.pth", state())
    update = {"bytes": 5, "sha256": file_sha256(path)}
    wrong = model.sources.weights[0].model_copy(update=update)
    sources = model.sources.model_copy(update={"weights": (wrong,)})
    with pytest.raises(ModelFilesError, match="expected 5: truncated or another file"):
        require_right_files("net", sources, model.weights)
    path.write_bytes(b"0" * 17)
    with pytest.raises(ModelFilesError, match="is the demonstration's file"):
        require_right_files("net", sources, model.weights)
    path.unlink()
    absent = "does not exist; umd models fetch net brings it from https?://"
    with pytest.raises(ModelFilesError, match=absent):
        require_right_files("net", sources, model.weights)
    path.mkdir()
    with pytest.raises(ModelFilesError, match="is a folder, not a file"):
        require_right_files("net", sources, model.weights)


def test_a_prefix_that_the_loader_removes_may_be_there_or_not(model, save):
    folder = model.weights.parent / "full"
    save("full/net.pth", {"state_dict": state("module.")})
    record_expectations("net", folder, {"net.pth": "net.pth"}, (), "module.")
    for prefix in ("module.", ""):
        save("weights/net.pth", {"state_dict": state(prefix)})
        require_right_files("net", model.sources, model.weights)


def test_files_that_were_not_trained_together_fail(model, save):
    (model.folder / "sources.toml").write_text(
        (model.folder / "sources.toml").read_text()
        + '[[weights]]\ninto = "text.pth"\nurl = "https://host/t.pth"\nsha256 = "unverified"\n'
        'license = "MIT"\ncommercial = "yes"\n'
    )
    folder = model.weights.parent / "full"
    save("full/net.pth", {"state_dict": state()})
    save("full/text.pth", {"state_dict": {"e.w": FakeTensor((2,))}})
    record_expectations("net", folder, {"net.pth": "net.pth", "text.pth": "text.pth"}, ())
    for step, expected in ((5, "ok"), (6, "failed")):
        save("weights/net.pth", {"state_dict": state(), "step": 5})
        save("weights/text.pth", {"state_dict": {"e.w": FakeTensor((2,))}, "step": step})
        *_, pair = check_files("net", read_sources("net"), model.weights)
        assert (pair.check, pair.state) == ("trained together", expected)


def test_the_command_prints_a_table_json_and_an_exit_code(model, save):
    save("weights/net.pth", state("network."))
    command = ["preflight", "net", "--weights", str(model.weights)]
    done = CliRunner().invoke(models, command)
    assert done.exit_code == 1, done.output
    assert "FAILED   net.pth: tensors" in done.output
    assert "NON-COMMERCIAL" in done.output
    save("weights/net.pth", state())
    done = CliRunner().invoke(models, [*command, "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    states = {line["check"]: line["state"] for line in lines}
    assert states["net.pth: tensors"] == "ok"
    assert states["licence"] == "unknown"
    assert {"image", "texts", "disk", "GPU"} <= states.keys()


def test_weights_are_unverified_until_a_preflight_of_their_hash_passed(model, save, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(model.weights.parent / "cache"))
    path = save("weights/net.pth", state())
    hashes = {"net.pth": file_sha256(path)}
    assert preflight_state("net", hashes) == "not run"
    require_right_files("net", model.sources, model.weights)
    assert preflight_state("net", hashes) == "passed"
    assert preflight_state("net", {"net.pth": "another"}) == "not run"
    assert preflight_state("net", {}) == "not run"
    assert preflight_state("second", hashes) == "not run"
    save("weights/net.pth", state("network."))
    command = ["preflight", "net", "--weights", str(model.weights)]
    assert CliRunner().invoke(models, command).exit_code == 1
    assert preflight_state("net", {"net.pth": file_sha256(path)}) == "failed"
    # no tensors are recorded and no hash is stated: nothing recognises the file
    (model.folder / "expected.toml").unlink()
    require_right_files("net", model.sources, model.weights)
    assert preflight_state("net", {"net.pth": file_sha256(path)}) == "unknown"
    # a file of the cache that was cut off, or is of another program, says nothing
    for content in ("", "{", "[]", "{}", '{"preflight": 1}'):
        for verdict in (model.weights.parent / "cache/preflight").glob("*.json"):
            verdict.write_text(content)
        assert preflight_state("net", hashes) == "not run"


@pytest.mark.parametrize(
    ("name", "preflight", "shown"),
    [
        ("published", "passed", "published"),
        ("published", "not run", "unverified (preflight: not run)"),
        ("mounted:0123456789abcdef", "unknown", "unverified (preflight: unknown)"),
        ("random:small", "not run", "random:small"),
        ("", "not run", ""),
    ],
)
def test_a_table_may_say_no_more_than_preflight_showed(name, preflight, shown):
    assert name_of_weights(name, preflight) == shown


@pytest.mark.parametrize(
    ("preflight", "lines"),
    [
        ("", []),
        ("passed", []),
        ("unknown", ["net, weights: unverified (preflight: unknown)."]),
    ],
)
def test_tables_of_a_run_say_that_weights_are_unverified(preflight, lines):
    weights = WeightsInfo(name="published", preflight=preflight)
    info = SimpleNamespace(identity=SimpleNamespace(model="net"), weights=weights)
    assert unverified_line(info) == lines


@pytest.mark.parametrize(
    ("preflight", "badge"), [("passed", "published"), ("not run", "unverified")]
)
def test_the_badge_of_a_check_depends_on_preflight(project, preflight, badge):
    folder = project({"net": ""}) / "docs" / "checks"
    folder.mkdir(parents=True)
    record = {"model": "net", "weights": "published", "weights_sha256": {"net.pth": "1"}}
    record |= {"device": "CPU", "host": "1 core", "date": "2026-11-29"}
    record |= {"measured": {}, "checks": [], "preflight": preflight}
    (folder / "net.json").write_text(json.dumps(record))
    assert f"| `net` | {badge}" in badge_table()
    # a record of before this field says nothing of a preflight
    (folder / "net.json").write_text(
        json.dumps({k: v for k, v in record.items() if k != "preflight"})
    )
    assert "unverified (preflight: not run)" in badge_table()


def test_every_recorded_file_is_one_of_the_models_sources():
    recorded = {}
    for entry in zoo():
        expectations = read_expectations(entry.name)
        for file in expectations.file:
            sources = read_sources(entry.name)
            assert sources
            assert file.into in {download.into for download in sources.weights}
            recorded[entry.name] = expectations.recorded
    assert all("random:full" in text for text in recorded.values())


def test_a_digest_does_not_depend_on_the_order():
    tensors = dict(reversed(EXPECTED.items()))
    assert TensorList(tensors=tensors).digest() == TensorList(tensors=EXPECTED).digest()
