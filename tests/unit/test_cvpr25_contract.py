"""The CVPR 2025 convention: what a container gets, and what is read of its answer."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from evaluator.containers.contracts import CONTRACTS
from evaluator.containers.contracts.cvpr25 import closed_box
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.requests import InputImage, ModelRequest, RequestTarget, ScanInput
from evaluator.imaging.grid_masks import crop_mask
from evaluator.imaging.intensities import scale_to_uint8
from evaluator.volumes import MaskValidator, write_volume
from evaluator.volumes.mask_validation import MapLabel
from tests.tiny import GRIDS
from zoo_sdk.wire import Box, Point

CONTRACT = CONTRACTS["cvpr25"]
GRID = GRIDS["MR"]  # 13 x 11 x 9, oblique
SIZE = tuple(reversed(GRID.shape))


@pytest.fixture
def workspace(tmp_path):
    for name in ("input/images", "output"):
        (tmp_path / name).mkdir(parents=True)
    return Workspace(input=tmp_path / "input", output=tmp_path / "output")


@pytest.fixture
def scan(tmp_path, workspace):
    voxels = np.random.default_rng(0).normal(100, 40, GRID.shape).astype(np.float32)
    path = tmp_path / "secret-name.nii.gz"
    write_volume(path, voxels, GRID)
    image = InputImage(source=path, unit="a.u.", name="x1")
    return CONTRACT.stage_scan(ScanInput(pseudonym="c1", images={"MR": image}), workspace)


def point(index, round_number, *, foreground=True):
    return Point(index=index, ras_mm=(0.0, 0.0, 0.0), foreground=foreground, round=round_number)


def stage(scan, workspace, targets, number):
    request = ModelRequest(id="r1", round=number, targets=targets)
    staged = CONTRACT.stage_request(request, scan, workspace)
    assert staged.files == (workspace.input / "r1.npz",)
    return staged, dict(np.load(staged.files[0], allow_pickle=True))


def test_the_first_round_holds_the_image_and_closed_boxes_and_no_reference(scan, workspace):
    box = Box(low=(2, 3, 1), high=(9, 8, 6))
    _, content = stage(scan, workspace, (RequestTarget(name="liver", box=box),), 0)
    assert set(content) == {"imgs", "spacing", "boxes"}
    assert content["imgs"].shape == SIZE
    assert content["imgs"].dtype == np.uint8
    lengths = np.linalg.norm(np.array(GRID.affine)[:3, :3], axis=0)
    np.testing.assert_allclose(content["spacing"], lengths[::-1])
    assert list(content["boxes"]) == [
        {
            "z_min": 1,
            "z_max": 5,
            "z_mid": 3,
            "z_mid_x_min": 2,
            "z_mid_y_min": 3,
            "z_mid_x_max": 8,
            "z_mid_y_max": 7,
        }
    ]


@pytest.mark.parametrize(("first", "count"), [(1, 1), (1, 2), (2, 2), (2, 5), (3, 6)])
def test_the_middle_slice_is_the_challenges(first, count):
    slices = np.arange(first, first + count)
    box = Box(low=(2, 3, first), high=(9, 8, first + count))
    # get_boxes.py: z_indices[len(z_indices) // 2]
    assert closed_box(box)["z_mid"] == slices[len(slices) // 2]


def test_clicks_are_k_j_i_and_in_the_order_of_rounds(scan, workspace):
    clicks = (point((1, 2, 3), 1), point((4, 5, 6), 3, foreground=False))
    previous = np.zeros(GRID.shape, bool)
    previous[3:6, 2:4, 1:3] = True
    targets = (
        RequestTarget(name="liver", points=clicks, previous=crop_mask(previous, GRID)),
        RequestTarget(name="spleen", points=(point((7, 8, 2), 2),)),
    )
    _, content = stage(scan, workspace, targets, 3)
    assert "boxes" not in content
    assert list(content["clicks"]) == [
        {"fg": [[3, 2, 1]], "bg": [[6, 5, 4]]},
        {"fg": [[2, 8, 7]], "bg": []},
    ]
    # a round without an error has no click; the lists are equally long
    assert list(content["clicks_order"]) == [["fg", None, "bg"], [None, "fg", None]]
    assert content["prev_pred"].dtype == np.uint8
    np.testing.assert_array_equal(content["prev_pred"].transpose(2, 1, 0), previous)


def test_texts_are_keyed_by_label(scan, workspace):
    targets = (RequestTarget(name="a", text="liver"), RequestTarget(name="b", text="spleen"))
    _, content = stage(scan, workspace, targets, 0)
    assert content["text_prompts"].item() == {"1": "liver", "2": "spleen", "instance_label": 0}


def test_ct_is_windowed_and_other_images_are_scaled_by_percentiles():
    ct = np.array([-1000.0, -160.0, 40.0, 240.0, 3000.0, np.nan])
    assert scale_to_uint8(ct, "CT").tolist() == [0, 0, 127, 255, 255, 102]
    pet = np.concatenate([np.zeros(50), np.linspace(1, 11, 201)]).reshape(1, 1, -1)
    scaled = scale_to_uint8(pet, "PT").reshape(-1)
    assert scaled[:50].max() == 0
    # percentiles 0.5 and 99.5 of 1..11 are 1.05 and 10.95
    assert scaled[150] == int((6.0 - 1.05) / 9.9 * 255)
    assert (scaled[50], scaled[-1]) == (0, 255)
    assert scale_to_uint8(np.full((2, 2, 2), 7.0), "MR").max() == 0
    assert scale_to_uint8(np.zeros((2, 2, 2)), "PT").max() == 0


def answer(workspace, **arrays):
    path = workspace.output / "r1.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, bool])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_label_is_read_in_any_type_and_order(scan, workspace, dtype, order):
    targets = (RequestTarget(name="liver"),)
    if dtype is not bool:
        targets = (RequestTarget(name="liver"), RequestTarget(name="spleen"))
    staged, _ = stage(scan, workspace, targets, 0)
    labels = np.zeros(SIZE, dtype)
    labels[2:5, 3:9, 4:6] = len(targets)
    answer(workspace, segs=np.array(labels, order=order))
    with MaskValidator() as validator:
        mask = CONTRACT.read_mask(staged, targets[-1].name, workspace.output, validator)
        assert mask.offset == (4, 3, 2)
        np.testing.assert_array_equal(mask.to_array(), (labels == len(targets)).transpose(2, 1, 0))
        if len(targets) == 2:
            first = CONTRACT.read_mask(staged, "liver", workspace.output, validator)
            assert first.voxel_count == 0


def damaged(kind, path):
    good = np.zeros(SIZE, np.uint8)
    if kind == "pickle":
        np.savez(path, segs=np.array([{"an": "object"}]))
    elif kind == "other name":
        np.savez(path, masks=good)
    elif kind == "permuted":
        np.savez(path, segs=good.transpose(2, 1, 0))
    elif kind == "floats":
        np.savez(path, segs=good.astype(np.float32))
    elif kind == "no zip":
        path.write_bytes(b"PK\x03\x04 nothing")
    elif kind == "cut":
        np.savez_compressed(path, segs=np.random.default_rng(0).integers(0, 2, SIZE))
        path.write_bytes(path.read_bytes()[:-300])
    elif kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            body = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                body, {"shape": (10**5, 10**5, 10**5), "fortran_order": False, "descr": "|u1"}
            )
            archive.writestr("segs.npy", body.getvalue() + bytes(10**6))
    elif kind == "short":
        with zipfile.ZipFile(path, "w") as archive:
            body = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                body, {"shape": SIZE, "fortran_order": False, "descr": "|u1"}
            )
            archive.writestr("segs.npy", body.getvalue() + bytes(10))
    elif kind == "code in the header":
        with zipfile.ZipFile(path, "w") as archive:
            text = b"__import__('os').system('touch /tmp/npz-was-run')\n"
            head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
            archive.writestr("segs.npy", head + text)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("pickle", "wrong-values"),
        ("other name", "missing"),
        ("permuted", "wrong-shape"),
        ("floats", "wrong-values"),
        ("no zip", "unsafe-file"),
        ("cut", "unsafe-file"),
        ("bomb", "wrong-shape"),
        ("short", "unsafe-file"),
        ("code in the header", "unsafe-file"),
    ],
)
def test_a_bad_answer_has_a_status_and_the_next_one_is_read(tmp_path, kind, status):
    path = tmp_path / "a.npz"
    damaged(kind, path)
    label = MapLabel(format="npz", array="segs", label=1)
    with MaskValidator() as validator:
        failure = validator.check(path, GRID, 2**20, map_label=label)
        assert (str(failure.status), bool(failure.detail)) == (status, True)
        good = tmp_path / "b.npz"
        np.savez(good, segs=np.ones(SIZE, np.uint8))
        assert validator.check(good, GRID, 2**20, map_label=label).voxel_count == np.prod(SIZE)
        linked = tmp_path / "c.npz"
        linked.symlink_to(good)
        assert str(validator.check(linked, GRID, 2**20, map_label=label).status) == "unsafe-file"
