"""The GPUs of a model follow from its card and from the output of nvidia-smi."""

from __future__ import annotations

import click
import pytest

from evaluator.cli.options import parse_gpus as parse_option
from evaluator.containers.gpus import (
    choose_gpus,
    find_named,
    is_other_gpu,
    parse_gpus,
    restrict,
    with_slices,
)
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


@pytest.mark.parametrize("gpu", ["none", "optional", "required"])
def test_a_named_gpu_that_is_not_here_is_refused_for_every_model(gpu):
    gpus = parse_gpus(NVIDIA_SMI)
    for present in (gpus, ()):
        with pytest.raises(UserError, match=r"GPUs \[7\] were asked for"):
            choose_gpus(present, (7,), card(gpu=gpu))


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


#: as nvidia-smi -L prints it: GPU 0 is divided into two slices
LISTING = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-a)
  MIG 3g.40gb     Device  0: (UUID: MIG-c0b2aaaa-0000-5555-8888-000000000000)
  MIG 1g.10gb     Device  1: (UUID: MIG-c1d3aaaa-0000-5555-8888-000000000000)
GPU 1: NVIDIA GeForce RTX 3070 (UUID: GPU-b)
"""


def test_slices_take_the_place_of_their_gpu():
    first, second, undivided = with_slices(parse_gpus(NVIDIA_SMI), LISTING)
    assert (first.label, first.uuid[:8], first.memory // 2**30) == ("0:0", "MIG-c0b2", 40)
    assert (second.name, second.driver) == ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "550.54")
    assert (undivided.label, undivided.uuid, undivided.slice) == ("1", "GPU-b", None)
    assert with_slices(parse_gpus(NVIDIA_SMI), "") == parse_gpus(NVIDIA_SMI)


def test_a_gpu_is_named_by_index_or_by_uuid():
    present = with_slices(parse_gpus(NVIDIA_SMI), LISTING)
    assert find_named(present, 0) == list(present[:2])
    assert find_named(present, "GPU-b") == [present[2]]
    assert find_named(present, "MIG-c1") == [present[1]]
    assert find_named(present, "MIG-c") == []  # two slices begin so
    assert find_named(present, "MIG-") == find_named(present, "b") == []
    required = card(gpu="required")
    assert choose_gpus(present, ("GPU-b", "MIG-c1d3"), required) == (present[1], present[2])
    with pytest.raises(UserError, match=r"0:1 = MIG-c1d3aaaa-.*, 1 = GPU-b"):
        choose_gpus(present, ("GPU-x",), required)


def test_cuda_visible_devices_restricts_all_and_nothing_else(messages):
    present = parse_gpus(NVIDIA_SMI)
    assert restrict(present, None) == present
    assert restrict(present, "1") == restrict(present, "GPU-b") == present[1:]
    assert restrict(present, "1,0") == (present[1], present[0])
    assert restrict(present, "") == restrict(present, "NoDevFiles") == restrict(present, "-1") == ()
    assert restrict(present, "1,7,0") == present[1:]  # as CUDA reads it
    model = card(gpu="optional")
    assert choose_gpus(present, None, model, visible="1") == present[1:]
    assert choose_gpus(present, (0,), model, visible="1") == present[:1]
    assert messages == ["CUDA_VISIBLE_DEVICES=1: 1 of 2 GPUs are used"]


def test_the_gpu_that_a_container_reports():
    assert not is_other_gpu("GPU-5C89852c-d268", "5c89852c-d268")
    assert is_other_gpu("GPU-5c89852c-d268", "11111111-d268")
    assert not is_other_gpu("GPU-5c89852c-d268", "")
    assert not is_other_gpu("MIG-c0b2", "5c89852c-d268")


def test_the_option_takes_indices_and_uuids():
    assert parse_option("all") is None
    assert parse_option("none") == ()
    assert parse_option("0, MIG-c0b2,GPU-5c89") == (0, "MIG-c0b2", "GPU-5c89")
    for wrong in ("x", "0,", "GPU-", "MIG-a b", "-1"):
        with pytest.raises(click.UsageError, match="expected"):
            parse_option(wrong)
