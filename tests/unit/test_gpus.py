"""The GPUs of a model follow from its card and from the output of nvidia-smi."""

from __future__ import annotations

import pytest

from evaluator.containers.gpus import choose_gpus, parse_gpus
from evaluator.errors import UserError
from evaluator.zoo.cards import parse_card

NVIDIA_SMI = """0, GPU-a, NVIDIA H100 80GB HBM3, 81559, 550.54
1, GPU-b, NVIDIA GeForce RTX 3070, 8192, 550.54
[N/A], broken line
"""


def card(**labels):
    return parse_card(
        {"umd.contract": "1", "umd.name": "m", "umd.inputs": "CT"}
        | {f"umd.{k.replace('_', '-')}": v for k, v in labels.items()}
    )


def test_the_output_of_nvidia_smi_is_parsed():
    large, small = parse_gpus(NVIDIA_SMI)
    assert (large.index, large.uuid, large.memory // 2**30) == (0, "GPU-a", 79)
    assert small.name == "NVIDIA GeForce RTX 3070"


def test_a_gpu_that_is_too_small_is_not_used(messages):
    gpus = parse_gpus(NVIDIA_SMI)
    assert choose_gpus(gpus, None, card(gpu="optional", gpu_memory="10GiB")) == gpus[:1]
    assert "needs 10.0 GiB" in messages[0]
    assert "GPU 1 (NVIDIA GeForce RTX 3070) has 8.0 GiB: not used" in messages[0]
    assert choose_gpus(gpus[1:], None, card(gpu="optional", gpu_memory="10GiB")) == ()
    assert "runs without a GPU" in messages[1]
    for gpu in ("optional", "required"):
        assert choose_gpus(gpus, (1,), card(gpu=gpu, gpu_memory="10GiB")) == gpus[1:]
        assert "used as it was asked for" in messages.pop()
    assert choose_gpus(gpus, None, card(gpu="required", gpu_memory="8GiB")) == gpus
    assert (
        choose_gpus(gpus, None, card(gpu="none"))
        == choose_gpus(gpus, (), card(gpu="optional"))
        == ()
    )
    assert len(messages) == 2


def test_a_model_that_can_use_a_gpu_is_logged_where_none_exists(messages):
    assert choose_gpus((), None, card(gpu="optional", gpu_memory="34GiB")) == ()
    (message,) = messages
    assert message == (
        "model m is designed for a GPU and none was found; "
        "it will run on the CPU and may be very slow"
    )
    assert choose_gpus((), (), card(gpu="optional")) == choose_gpus((), None, card(gpu="none"))
    assert len(messages) == 1


def test_unknown_gpu_memory_is_not_too_small():
    (shared,) = parse_gpus("0, GPU-c, NVIDIA GB10, [N/A], 580.95\n")
    assert choose_gpus((shared,), None, card(gpu="required", gpu_memory="10GiB")) == (shared,)


@pytest.mark.parametrize(
    ("gpus", "indices", "labels", "message"),
    [
        (
            parse_gpus(NVIDIA_SMI)[1:],
            None,
            {"gpu": "required", "gpu_memory": "10GiB"},
            "10.0 GiB of GPU memory by its card; GPU 1",
        ),
        ((), None, {"gpu": "required"}, "shows none"),
        (parse_gpus(NVIDIA_SMI), (), {"gpu": "required"}, "says to use none"),
        (parse_gpus(NVIDIA_SMI), (5,), {"gpu": "optional"}, r"GPUs \[5\] were asked for"),
    ],
)
def test_a_model_that_requires_a_gpu_is_refused_without_a_usable_one(
    gpus, indices, labels, message
):
    with pytest.raises(UserError, match=message):
        choose_gpus(gpus, indices, card(**labels))
