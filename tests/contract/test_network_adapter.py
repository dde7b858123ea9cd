"""The adapter of all networks: options, the memory, and what its notes say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zoo_sdk import Grid, Prediction, Request, network_adapter
from zoo_sdk.network_adapter import NetworkAdapter

GRID = Grid(shape=(2, 2, 2), affine=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))


class Network:
    """Is on a device."""

    device = "cpu"


def predict(image, request, network, options, *memory):
    """A pipeline that answers with its arguments."""
    notes = {"options": options, "memory": [len(entry) for entry in memory], "weights": "mine"}
    for entry in memory:
        entry.append(image)
    return Prediction({"liver": network}, notes)


class Plain(NetworkAdapter):
    """Without a memory."""

    pipeline = SimpleNamespace(OPTIONS={"large": ("window", "sliding")}, predict=predict)
    open_network = Network


class Remembers(Plain):
    """With a memory and a note."""

    make_memory = list

    def details(self):
        """One note."""
        return {"variant": "pro"}


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_WEIGHTS", str(tmp_path))
    (tmp_path / "random-weights.json").write_text('{"weights": "random:small"}')
    monkeypatch.setattr(network_adapter, "read_image", lambda request: "image")


def ask(adapter, **options):
    return adapter.predict(Request("r", "c", 0, {}, GRID, (), options=options))


def test_notes_say_weights_device_options_and_details():
    adapter = Plain()
    adapter.setup()
    answer = ask(adapter, large="sliding")
    assert isinstance(answer.masks["liver"], Network)
    assert answer.notes == {
        "options": {"large": "sliding"},
        "memory": [],
        # what the folder says, not what a pipeline claims
        "weights": "random:small",
        "device": "cpu",
    }
    with pytest.raises(ValueError, match="large=other; this model has large=window"):
        ask(adapter, large="other")


def test_requests_share_the_memory_of_one_adapter():
    adapter, second = Remembers(), Remembers()
    adapter.setup()
    second.setup()
    assert [ask(adapter).notes["memory"] for _ in range(3)] == [[0], [1], [2]]
    assert ask(second).notes["memory"] == [0]
    assert ask(second).notes["variant"] == "pro"
