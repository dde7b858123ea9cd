"""Weights are reported and loaded strictly; options have a default. Works without torch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zoo_sdk import Request, choose_options
from zoo_sdk.random_weights import main
from zoo_sdk.weights import (
    WrongWeights,
    differences,
    load_strictly,
    network_size,
    only_file,
    which_weights,
)

SCRIPT = """
def write(size, folder):
    (folder / "w.pth").write_text(size)
"""

#: as safetensors writes
PRIVATE_SCRIPT = """
def write(size, folder):
    (folder / "fold").mkdir(mode=0o700)
    (folder / "fold" / "w.pth").write_text(size)
    (folder / "fold" / "w.pth").chmod(0o600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


class Module:
    """A network with two parameters."""

    def __init__(self):
        self.loaded = None

    def state_dict(self):
        return {"a": np.zeros((2, 3)), "b": np.zeros(4)}

    def load_state_dict(self, state, strict):
        assert strict
        self.loaded = state


def test_random_weights_are_written_and_marked(tmp_path, folder):
    (tmp_path / "script.py").write_text(SCRIPT)
    assert main([str(tmp_path / "script.py"), "published"]) == 0
    assert not folder.exists()
    assert (which_weights(), network_size()) == ("published", "full")
    for which, size in (("random:small", "small"), ("random:full", "full")):
        assert main([str(tmp_path / "script.py"), which]) == 0
        assert (which_weights(), network_size()) == (which, size)
        assert only_file("*.pth").read_text() == size
    assert json.loads((folder / "random-weights.json").read_text())["seed"] == 0


def test_random_weights_can_be_read_by_whoever_the_image_runs_as(tmp_path, folder):
    (tmp_path / "script.py").write_text(PRIVATE_SCRIPT)
    assert main([str(tmp_path / "script.py"), "random:small"]) == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    assert modes == {"weights": 0o755, "fold": 0o755, "w.pth": 0o644, "random-weights.json": 0o644}


def test_one_file_and_no_other(folder):
    folder.mkdir()
    with pytest.raises(WrongWeights, match="it holds none"):
        only_file("*.pth")
    for name in "ab":
        (folder / f"{name}.pth").touch()
    with pytest.raises(WrongWeights, match=r"it holds a\.pth, b\.pth"):
        only_file("*.pth")


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({}, r"2 missing \(a, b\)"),
        ({"a": np.zeros((2, 3))}, r"1 missing \(b\)"),
        ({"a": np.zeros((2, 3)), "b": np.zeros(4), "c": np.zeros(1)}, r"1 unexpected \(c\)"),
        (
            {"a": np.zeros((3, 2)), "b": np.zeros(4)},
            r"1 of another shape \(a is \(3, 2\), not \(2, 3\)\)",
        ),
        (
            {"model.a": np.zeros((2, 3)), "model.b": np.zeros(4)},
            r"2 missing .*; 2 unexpected \(model\.a, model\.b\)",
        ),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(state, fault):
    module = Module()
    message = r"x\.pth is not a checkpoint of this network: .*" + fault
    with pytest.raises(WrongWeights, match=message):
        load_strictly(module, state, "x.pth")
    assert module.loaded is None


def test_the_right_checkpoint_is_loaded():
    module = Module()
    load_strictly(module, module.state_dict(), "x.pth")
    assert set(module.loaded) == {"a", "b"}
    assert differences({str(n): () for n in range(9)}, {}) == ["9 missing (0, 1, 2, 3, ...)"]


def test_options():
    options = {"large": ("single", "sliding"), "clicks": ("one", "all")}
    request = Request("r", "c", 0, {}, None, (), options={"large": "sliding"})
    assert choose_options(request, options) == {"large": "sliding", "clicks": "one"}
    for wrong in ({"large": "huge"}, {"size": "single"}):
        with pytest.raises(
            ValueError, match=r"this model has large=single\|sliding; clicks=one\|all"
        ):
            choose_options(Request("r", "c", 0, {}, None, (), options=wrong), options)
