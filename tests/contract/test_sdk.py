"""The SDK serves a class as a conforming model; nibabel reads its files; it needs no package."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from tests.tiny import GRIDS, PAINTER
from zoo_sdk import BadMask, Crop, nifti, write_mask
from zoo_sdk.files import read_volume

SDK = Path(__file__).parents[2] / "models/sdk/zoo_sdk"


@pytest.mark.parametrize("modality", GRIDS)
def test_its_nifti_is_nibabels(tmp_path, modality):
    grid = GRIDS[modality]
    mask = np.random.default_rng(0).random(grid.shape) > 0.5
    write_mask(tmp_path / "m.nii.gz", mask, grid)
    image = nibabel.load(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask)
    np.testing.assert_allclose(image.affine, grid.affine, atol=1e-5)
    sheared = modality == "MR"  # a quaternion can hold no shear, so that none is written
    assert int(image.header["qform_code"]) == (0 if sheared else 1)
    if not sheared:
        np.testing.assert_allclose(image.header.get_qform(), grid.affine, atol=1e-3)
    array, affine = read_volume(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(array, mask)
    np.testing.assert_allclose(affine, grid.affine, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<f4", ">f8", "<u2"])
def test_it_reads_what_nibabel_writes(tmp_path, dtype):
    array = np.random.default_rng(1).integers(0, 100, (4, 5, 6)).astype(dtype)
    header = nibabel.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    image = nibabel.Nifti1Image(array, np.array(GRIDS["MR"].affine), header)
    image.header.set_data_dtype(dtype)
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz")[0], array)
    assert nifti.read(tmp_path / "a.nii.gz").shape == (4, 5, 6)


@pytest.mark.parametrize(
    "bad",
    [
        np.full((14, 12, 10), 2),
        np.full((14, 12, 10), 0.5),
        np.zeros((10, 12, 14)),
        np.full((14, 12, 10), np.nan),
    ],
)
def test_no_bad_mask_leaves_the_model(tmp_path, bad):
    with pytest.raises(BadMask), np.errstate(invalid="ignore"):
        write_mask(tmp_path / "m.nii.gz", bad, GRIDS["CT"])
    assert list(tmp_path.iterdir()) == []


def test_the_check_passes_a_good_model_and_fails_bad_ones(tmp_path):
    predict = "def predict(self, request):\n"
    no_setup = PAINTER.replace("        pass", "        raise OSError('no weights')")
    adapters = {
        "good": (PAINTER, 0, "ok"),
        "chatty": (PAINTER.replace(predict, f"{predict}        print('hello')\n"), 0, "ok"),
        "noisy-c-library": (
            PAINTER.replace(predict, f"{predict}        import os; os.write(1, b'x')\n"),
            0,
            "ok",
        ),
        "raises": (PAINTER.replace("mask = np.zeros", "mask = np.ze_ros"), 1, "AttributeError"),
        "no-setup": (no_setup, 1, "exit status 1"),
    }
    for name, (text, code, expected) in adapters.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        command = [
            sys.executable,
            "-m",
            "zoo_sdk.check",
            "--",
            sys.executable,
            "-m",
            "zoo_sdk.serve",
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, (name, done.stdout, done.stderr)
        assert expected in done.stdout, name


@pytest.mark.parametrize("modality", GRIDS)
@pytest.mark.parametrize(
    ("low", "shape"),
    [
        ((0, 0, 0), (1, 1, 1)),
        ((3, 2, 1), (4, 5, 3)),
        ((8, 7, 6), (1, 1, 1)),
        ((0, 0, 0), "all"),
        ((0, 0, 0), "none"),
    ],
)
def test_a_crop_is_the_mask_that_it_is_a_part_of(tmp_path, modality, low, shape):
    grid = GRIDS[modality]
    mask_array = np.zeros(grid.shape, bool)
    window = tuple(
        slice(l, {"all": n, "none": 0}.get(shape, l + size))
        for l, n, size in zip(
            low, grid.shape, shape if shape not in ("all", "none") else (0, 0, 0), strict=True
        )
    )
    mask_array[window] = np.random.default_rng(2).random(mask_array[window].shape) > 0.4
    for name, mask in {
        "bool": mask_array,
        "float": mask_array.astype(float),
        "fortran": np.asfortranarray(mask_array.astype(np.uint8)),
        "crop": Crop(mask_array[window], low),
        "loose-crop": Crop(mask_array[: grid.shape[0] - 1 or 1], (0, 0, 0))
        if shape != "all"
        else Crop(mask_array, (0, 0, 0)),
    }.items():
        write_mask(tmp_path / "m.nii.gz", mask, grid)
        read = np.asarray(nibabel.load(tmp_path / "m.nii.gz").dataobj)
        np.testing.assert_array_equal(read, mask_array, err_msg=name)
        np.testing.assert_array_equal(read_volume(tmp_path / "m.nii.gz")[0], mask_array)
        if modality != "MR":  # ITK takes no shear
            assert (
                SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(tmp_path / "m.nii.gz")).sum()
                == mask_array.sum()
            )


@pytest.mark.parametrize("corner", [(-1, 0, 0), (13, 0, 0), (0, 0, 9)])
def test_a_crop_that_leaves_the_grid_is_no_mask(tmp_path, corner):
    with pytest.raises(BadMask, match="leaves the grid"):
        write_mask(tmp_path / "m.nii.gz", Crop(np.ones((2, 2, 2), bool), corner), GRIDS["CT"])


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_broken_file_is_an_oserror(tmp_path, how):
    write_mask(tmp_path / "m.nii.gz", np.ones(GRIDS["CT"].shape), GRIDS["CT"])
    body = bytearray((tmp_path / "m.nii.gz").read_bytes())
    body = body[:-3] if how == "cut" else body[:30] + bytes([body[30] ^ 255]) + body[31:]
    (tmp_path / "m.nii.gz").write_bytes(body)
    with pytest.raises(OSError, match="compressed data"):
        read_volume(tmp_path / "m.nii.gz")


def test_it_imports_nothing_but_the_standard_library_and_speaks_python_3_8():
    for path in SDK.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in tree.body:
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"zoo_sdk"}, (
                    path.name,
                    name,
                )


#: without setup, and with refusals that are raised for one target and for all
REFUSING = """
import numpy as np
from zoo_sdk import Unsupported, each_target

class Adapter:
    def predict(self, request):
        if request.id == "all":
            raise Unsupported("no images of this kind")

        def segment(target):
            if target.name == "spleen":
                raise Unsupported("it needs a box")
            return np.ones(request.grid.shape, np.uint8)

        return each_target(request, segment)
"""


def test_setup_is_optional_and_unsupported_may_be_raised(tmp_path, monkeypatch):
    from zoo_sdk import serve
    from zoo_sdk.wire import ImageFile, Request, Target, dump_request

    monkeypatch.setenv("UMD_INPUT", str(tmp_path / "input"))
    monkeypatch.setenv("UMD_OUTPUT", str(tmp_path / "output"))
    (tmp_path / "input/requests").mkdir(parents=True)
    (tmp_path / "adapter.py").write_text(REFUSING)
    for name in ("all", "each"):
        request = Request(
            id=name,
            case="c",
            round=0,
            images={"CT": ImageFile(path="images/a.nii.gz", unit="HU")},
            grid=GRIDS["CT"],
            targets=(Target(name="liver"), Target(name="spleen")),
        )
        text = json.dumps(dump_request(request))
        (tmp_path / "input/requests" / f"{name}.json").write_text(text)
    adapter = serve.load_adapter(tmp_path / "adapter.py")
    refused = serve.answer(adapter, "all").targets
    assert {reply.status for reply in refused.values()} == {"unsupported"}
    assert {reply.message for reply in refused.values()} == {"no images of this kind"}
    each = serve.answer(adapter, "each").targets
    assert each["liver"].status == "ok"
    assert (each["spleen"].status, each["spleen"].message) == ("unsupported", "it needs a box")
