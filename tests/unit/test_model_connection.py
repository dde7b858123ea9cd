"""Models run in a session where card, engine and protocol allow it, and on all GPUs.

Without a session the evaluator logs the reason.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluator.containers.engines.spec import Limits, Model
from evaluator.containers.gpus import Gpu
from evaluator.evaluation.model_connection import connect
from evaluator.types import RoundPlan
from evaluator.zoo.cards import parse_card
from tests.conftest import order
from tests.tiny import make_dataset


def connect_model(
    *, engine="docker", sessions=True, session="stdio", rounds="many", count=1, batch=False, **more
):
    labels = {
        "umd.contract": "1",
        "umd.name": "m",
        "umd.inputs": "CT",
        "umd.session": session,
        "umd.rounds": rounds,
    }
    card = parse_card(labels)
    return connect(
        SimpleNamespace(name=engine, sessions=sessions),
        Model(card=card, image="i", digest="d", adapter=None),
        RoundPlan(count=count),
        run_id="r",
        log=Path("log"),
        batch=batch,
        **({"limits": Limits(timeout=7.0), "threads": None} | more),
    )


@pytest.mark.parametrize(
    ("options", "session", "message"),
    [
        ({}, True, None),
        ({"count": 6}, True, None),
        ({"session": ""}, False, None),
        ({"batch": True}, False, None),
        (
            {"engine": "podman", "sessions": False},
            False,
            "engine podman cannot attach to a container: requests go in batches",
        ),
        (
            {"rounds": "one", "count": 6},
            False,
            "cannot be refined: each round of all scans goes to it in one batch",
        ),
        ({"rounds": "one"}, True, None),
    ],
)
def test_a_session_is_used_where_it_is_possible(options, session, message, messages) -> None:
    connection = connect_model(**options)
    assert connection.session is session
    assert len(messages) == (message is not None)
    assert all(message in line for line in messages)


NAMES_GPU = """
import os, time
import numpy as np
from zoo_sdk import Prediction

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        time.sleep(0.2)
        masks = {t.name: np.zeros(request.grid.shape, np.uint8) for t in request.targets}
        return Prediction(masks, notes={"gpu": os.environ["CUDA_VISIBLE_DEVICES"]})
"""


@pytest.mark.parametrize("batch", [False, True], ids=["session", "batch"])
def test_two_gpus_share_the_scans(project, tmp_path, monkeypatch, batch) -> None:
    import evaluator.evaluation.resolve

    gpus = [Gpu(index=n, uuid=f"GPU-{n}", name="fake", memory=2**34, driver="1") for n in range(2)]
    monkeypatch.setattr(evaluator.evaluation.resolve, "find_gpus", lambda: tuple(gpus))
    project({"names-gpu": NAMES_GPU}, gpu="optional")
    run = order(
        "names-gpu",
        make_dataset(tmp_path / "data", list("abcdef"), ("CT",)),
        engine="local",
        batch=batch,
    )
    used = []
    for record in run.records():
        used.extend(entry.reply.notes["gpu"] for entry in record.rounds)
    assert len(used) == 6
    assert set(used) == {"GPU-0", "GPU-1"}
    assert [gpu.name for gpu in run.info().gpus] == ["fake", "fake"]
