"""A GPU that torch cannot use ends a session and a batch with the reason, and records nothing."""

from __future__ import annotations

import pytest

from evaluator.containers import ModelSession, answer_batch
from evaluator.containers.contracts.native import staged
from evaluator.containers.engines.local import LocalEngine
from evaluator.containers.engines.spec import (
    Caller,
    Limits,
    Model,
    Workspace,
    container_arguments,
)
from evaluator.errors import HostError
from evaluator.zoo import find_model
from evaluator.zoo.conformance.requests import oriented_requests, sdk_requests

#: torch without a GPU, as a module beside the adapter
TORCH = """
from types import SimpleNamespace
__version__ = "2.13.0"
version = SimpleNamespace(cuda="13.0")
def init():
    raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")
cuda = SimpleNamespace(is_available=lambda: False, is_initialized=lambda: False, init=init)
"""
ADAPTER = """
import torch
import numpy as np

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        return {target.name: np.zeros(request.grid.shape, np.uint8) for target in request.targets}
"""


@pytest.fixture
def parts(project, tmp_path):
    folder = project({"net": ADAPTER}) / "models" / "net"
    (folder / "torch.py").write_text(TORCH)
    model = Model(
        card=find_model("net").card, image=None, digest="x", adapter=folder / "adapter.py"
    )
    workspace = Workspace(input=tmp_path / "input", output=tmp_path / "output")
    sdk_requests(workspace.input, model.card)
    requests = oriented_requests(workspace.input, model.card)[:2]
    workspace.output.mkdir()
    return model, workspace, [staged(request, workspace) for request in requests]


def test_a_session_and_a_batch_end_with_the_reason(parts, tmp_path):
    model, workspace, requests = parts
    common = {"run_id": "r", "log": tmp_path / "log", "gpu": "GPU-1"}
    expected = "handed over GPU GPU-1.*driver is too old for CUDA 13.0.*Nothing was recorded"
    session = ModelSession(LocalEngine(), model, workspace, Limits(timeout=60), **common)
    with session, pytest.raises(HostError, match=expected):
        session.ask(requests[0])
    with pytest.raises(HostError, match=expected):
        list(answer_batch(LocalEngine(), model, workspace, requests, Limits(timeout=60), **common))


def test_without_a_gpu_the_same_model_answers(parts, tmp_path):
    model, workspace, requests = parts
    with ModelSession(
        LocalEngine(), model, workspace, Limits(timeout=60), run_id="r", log=tmp_path / "log"
    ) as session:
        assert session.ask(requests[0]).failure is None


def test_a_container_is_told_of_its_gpu(parts):
    model, workspace, _ = parts
    arguments = {"name": "n", "run_id": "r", "mode": "serve", "command": ["serve"]}
    for gpu, expected in (("GPU-1", {"UMD_GPU": "GPU-1"}), (None, {})):
        made = container_arguments(
            model.image, workspace, Limits(timeout=1), Caller.this_process(), gpu=gpu, **arguments
        )
        assert made["environment"] == {"HOME": "/tmp"} | expected
