"""The SDK as an algorithm of Grand Challenge: MHA files in and out, points, failures."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK

from evaluator.containers.contracts.grand_challenge import GrandChallengeContract
from evaluator.containers.contracts.sockets import parse_sockets
from evaluator.containers.engines.spec import Workspace
from evaluator.containers.requests import InputImage, ModelRequest, RequestTarget, ScanInput
from evaluator.volumes import MaskValidator, write_volume
from evaluator.volumes.mask_validation import MapLabel
from evaluator.volumes.mha import write_mha
from tests.tiny import GRIDS, PAINTER
from zoo_sdk import metaimage, nifti
from zoo_sdk.wire import Point

SOCKETS = {
    "inputs": {
        "ct": {"path": "images/ct", "modality": "CT"},
        "clicks": {"path": "clicks.json", "foreground": "tumor"},
    },
    "outputs": {"organ": {"path": "images/organ", "targets": {"*": 3}}},
}


@pytest.fixture(scope="module")
def validator():
    with MaskValidator() as opened:
        yield opened


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_an_image_becomes_nifti(tmp_path, modality, dtype):
    grid = GRIDS[modality]
    voxels = np.random.default_rng(1).integers(0, 99, grid.shape).astype(dtype)
    for compressed in (True, False):
        write_mha(tmp_path / "a.mha", voxels, grid)
        image = SimpleITK.ReadImage(str(tmp_path / "a.mha"))
        SimpleITK.WriteImage(image, str(tmp_path / "a.mha"), compressed)
        written = metaimage.to_nifti(tmp_path / "a.mha", tmp_path / "a.nii.gz")
        np.testing.assert_allclose(written.affine, grid.affine, atol=1e-4)
        stored = nifti.read(tmp_path / "a.nii.gz")
        values = np.frombuffer(stored.data, dtype).reshape(stored.shape, order="F")
        np.testing.assert_array_equal(values, voxels)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_labels_lie_where_simpleitk_and_the_evaluator_expect_them(tmp_path, validator, modality):
    grid = GRIDS[modality]
    labels = np.random.default_rng(2).integers(0, 3, grid.shape).astype(np.uint8)
    metaimage.write_labels(tmp_path / "a.mha", labels.tobytes(order="F"), grid)
    image = SimpleITK.ReadImage(str(tmp_path / "a.mha"))
    place = image.TransformIndexToPhysicalPoint((3, 2, 1))
    expected = (np.array(grid.affine) @ [3, 2, 1, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(place, expected, atol=1e-4)
    mask = validator.check(
        tmp_path / "a.mha", grid, 2**20, map_label=MapLabel(format="mha", label=2)
    )
    np.testing.assert_array_equal(mask.to_array(), labels == 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"NDims = 3\n", "does not end"),
        (b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n", "lacks dimsize"),
        (b"DimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n1", "missing"),
        (b"DimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = a.raw\n", "not in the file"),
        (b"DimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n", "not a volume"),
    ],
)
def test_a_wrong_image_is_refused(tmp_path, text, message):
    (tmp_path / "a.mha").write_bytes(text)
    with pytest.raises(metaimage.NotMetaImage, match=message):
        metaimage.to_nifti(tmp_path / "a.mha", tmp_path / "a.nii.gz")


def stage(folder, grid, points):
    """The input of one case, as the evaluator's contract writes it."""
    workspace = Workspace(input=folder / "work", output=folder / "nothing")
    (workspace.input / "requests").mkdir(parents=True)
    voxels = np.random.default_rng(0).integers(0, 99, grid.shape).astype(np.int16)
    write_volume(folder / "ct.nii.gz", voxels, grid)
    contract = GrandChallengeContract(parse_sockets(SOCKETS, "test"))
    image = InputImage(source=folder / "ct.nii.gz", unit="HU", name="a")
    scan = contract.stage_scan(ScanInput(pseudonym="p", images={"CT": image}), workspace)
    target = RequestTarget(name="liver", points=points)
    request = ModelRequest(id="r00000s00k00", round=0, targets=(target,))
    return contract.stage_request(request, scan, workspace).root


def ask(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_a_server_answers_cases_one_after_another(tmp_path):
    grid = GRIDS["MR"]
    index = (4, 5, 6)
    x, y, z = (np.array(grid.affine) @ [*index, 1])[:3]
    inside = Point(index=index, ras_mm=(x, y, z))
    staged = stage(tmp_path, grid, (inside,))
    (tmp_path / "adapter.py").write_text(PAINTER)
    (tmp_path / "sockets.json").write_text(json.dumps(SOCKETS))
    root = tmp_path / "root"
    (root / "output").mkdir(parents=True)
    staged.rename(root / "input")
    port = 20000 + os.getpid() % 20000
    environment = os.environ | {"UMD_GC_ROOT": str(root), "UMD_GC_PORT": str(port)}
    command = [sys.executable, "-m", "zoo_sdk.grand_challenge", "adapter.py", "sockets.json"]
    server = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                assert ask(port, "GET", "/health")[0] == 200
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        for _ in range(2):
            assert ask(port, "POST", "/invoke") == (201, "")
            (file,) = (root / "output" / "images" / "organ").glob("*.mha")
            image = SimpleITK.ReadImage(str(file))
            labels = SimpleITK.GetArrayFromImage(image)
            assert image[index] == 3
            assert labels.sum() == 3
            file.unlink()
        (root / "input" / "clicks.json").write_text(
            '{"points": [{"name": "x", "point": [1, 2, 3]}]}'
        )
        status, text = ask(port, "POST", "/invoke")
        assert status == 500
        assert "a point is called 'x', not tumor or background" in text
        assert ask(port, "GET", "/other")[0] == 404
    finally:
        server.kill()
        server.wait()
