"""Our pipelines beside upstream's, with the same random weights, inside the models' own images.

Run by ``make test-upstream``. What upstream needs beside the image (torchio at the version its code wants, MONAI) is collected by hash and mounted. The
comparisons with upstream's own functions, which no index has, are in docs/validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.zoo import ImageBuildConfig, ensure_image, find_model
from evaluator.zoo.build_lock import turn
from evaluator.zoo.weights import Weights
from evaluator.zoo.wheels import ImagePlatform, collect_wheels, unpack_wheels
from tests.tiny import ROOT
from tests.zoo_images.test_images import BUNDLE, needs

HERE = Path(__file__).parent / "upstream"
#: packages of a lock that have no wheel
SOURCE_ONLY = {"voxtell": ("acvl-utils",)}


def collected(name: str) -> Path:
    """The packages of a lock of this folder, which need torch, numpy, scipy and SimpleITK beside them."""
    folder = paths.cache() / "upstream" / name
    with turn(paths.cache() / "turns" / f"upstream-{name}.lock", print, f"collects {name}"):
        if not folder.is_dir():
            image = ImagePlatform(flavour="cpu")
            wheels = folder.with_name(f"{name}-wheels")
            wheels.mkdir(parents=True, exist_ok=True)
            made = collect_wheels(HERE / f"{name}.lock", SOURCE_ONLY.get(name, ()), image, wheels)
            unpack_wheels(made, image, folder)
    return folder


def run_inside(engine, image: str, script: str, site: str | None = None, bundle: Path | None = None):
    """The JSON lines that a script prints, run in a model's image on this checkout, without a network."""
    order = ImageBuildConfig(weights=Weights(kind="random", size="small"), bundle=bundle)
    built = ensure_image(find_model(image), order, say=lambda _: None)
    volumes = {str(ROOT): {"bind": "/repo", "mode": "ro"}}
    if site:
        volumes[str(collected(site))] = {"bind": "/site", "mode": "ro"}
    path = built_path(engine, built.reference)
    told = engine.client.containers.run(
        built.reference,
        [f"/repo/tests/zoo_images/upstream/{script}", "small"],
        entrypoint=["python3"],
        environment={"PYTHONPATH": f"{path}:/site", "HOME": "/tmp"},
        volumes=volumes,
        network_mode="none",
        remove=True,
    )
    return [json.loads(line) for line in told.decode().splitlines() if line.startswith("{")]


def built_path(engine, reference: str) -> str:
    """PYTHONPATH of an image."""
    set_there = engine.client.images.get(reference).attrs["Config"]["Env"]
    return dict(one.split("=", 1) for one in set_there)["PYTHONPATH"]


def test_sam_med3d(docker_engine, figures):
    """Lattice and clicks equal; input to 1e-4, or one grey value where whole numbers are cut; masks but for rounding.

    Half-way between two voxels of the network's lattice rounding noise decides which one ITK takes; such voxels of the
    image are left out of the last comparison, and counted.
    """
    found = run_inside(docker_engine, "sam-med3d", "sam_med3d.py", "torchio")
    assert len(found) == 12
    for one in found:
        figures(f"sam-med3d beside upstream, {one}")
        assert one["lattice"]
        assert one["affine"] < 1e-4
        assert one["input"] < 1e-4 + 1.5 * one["grey_value"]
        assert one["logits"] < 1e-3
        assert one["mask_differs"] <= 1e-3 * one["mask_voxels"]
        assert one["back_differs_off_ties"] <= 1e-3 * one["back_voxels"]
        assert one["back_differs"] <= 0.1 * one["back_voxels"]


def test_vista3d(docker_engine, figures):
    """View equal; input to 1e-5; logits to the rounding of 16 bits, in which ours are averaged; masks but for that, and but for ties."""
    found = run_inside(docker_engine, "vista3d", "vista3d.py", "monai")
    assert len(found) == 21
    for one in found:
        figures(f"vista3d beside upstream, {one}")
        assert one["view"]
        assert one["affine"] < 1e-4
        assert one["input"] < 1e-4
        assert one["unknown_differs"] == 0
        # clicks on top of a class: where a part begins in a mask of 16 bits decides what is corrected
        assert one["logits"] < (0.2 if one["question"] == "class, then clicks" else 1e-3)
        assert one["signs_differ"] <= 1e-4 * one["voxels"]
        assert one["back_differs_off_ties"] <= 1e-3 * one["back_voxels"]
        assert one["back_differs"] <= 0.1 * one["back_voxels"]


@pytest.fixture
def bundle(not_run):
    """The bundle that has SAT's source; without one SAT is told as not run."""
    return bundle_with("sat-nano", not_run)


def bundle_with(image: str, not_run: Callable[[str], None]) -> Path:
    """The bundle, if it has this image's source."""
    if lacking := needs(image):
        not_run(f"{image} beside upstream: NOT RUN, needs {lacking}")
        pytest.skip(f"needs {lacking}")
    return Path(str(BUNDLE))


def test_sat(docker_engine, bundle, figures):
    """Crop equal; input to 1e-4 of a standard deviation; masks but for rounding, and but for ties on the image."""
    found = run_inside(docker_engine, "sat-nano", "sat.py", "monai", bundle)
    assert len(found) == 6
    assert max(one["patches"] for one in found) > 1
    for one in found:
        figures(f"sat-nano beside upstream, {one}")
        assert one["input"] < 1e-4
        assert one["probabilities"] < 1e-5
        assert one["mask_differs"] <= 1e-4 * one["mask_voxels"]
        assert one["back_differs_off_ties"] <= 1e-4 * one["back_voxels"]
        assert one["back_differs"] <= 0.1 * one["back_voxels"]


def test_sat_refuses_other_checkpoints(docker_engine, bundle):
    """Upstream would take what fits of each of them (its issue 26)."""
    told = {
        one["case"]: one["refused"]
        for one in run_inside(docker_engine, "sat-nano", "sat_checkpoints.py", bundle=bundle)
    }
    assert told.pop("the right ones") is None
    assert len(told) == 8
    assert all(told.values()), told
    assert "pre-training" in told["pre-training with images as network"]
    assert "pre-training" in told["pre-training with text alone as text encoder"]


def test_voxtell(docker_engine, figures):
    """Crop equal; input to 1e-5 of a standard deviation; masks on the image but for 16-bit rounding."""
    found = run_inside(docker_engine, "voxtell", "voxtell_package.py", "voxtell")
    assert len(found) == 4
    assert max(one["patches"] for one in found) > 1
    for one in found:
        figures(f"voxtell beside upstream, {one}")
        assert one["crop"]
        assert one["input"] < 1e-5
        assert one["back_differs"] <= 1e-4 * one["back_voxels"]


def test_ct_fm(docker_engine, figures):
    """Crop equal; input to 1e-5 of its range; our label's logit at most 1e-4 behind the best; masks but for ties."""
    found = run_inside(docker_engine, "ct-fm", "ct_fm.py", "ct_fm")
    assert len(found) == 4
    assert max(one["windows"] for one in found) > 1
    for one in found:
        figures(f"ct-fm beside upstream, {one}")
        assert one["crop"]
        assert one["input"] < 1e-5
        assert one["classes"] > 4
        assert one["logit_behind"] < 1e-4
        assert one["labels_differ"] <= 1e-3 * one["labels"]
        assert one["back_voxels"] > 0
        assert one["back_differs_off_ties"] <= 1e-3 * one["back_voxels"]
        assert one["back_differs"] <= 0.1 * one["back_voxels"]


def test_nninteractive(docker_engine, figures):
    """Every mask equal, voxel by voxel; and with a network that is always right the autozoom makes a large organ whole."""
    found = run_inside(docker_engine, "nninteractive", "nninteractive.py")
    for one in found:
        figures(f"nninteractive beside upstream, {one}")
    compared = [one for one in found if "what" in one]
    assert len(compared) == 20
    assert all(one["differ"] == 0 and one["voxels"] > 0 for one in compared)
    ideal = {one["autozoom"]: one["dice"] for one in found if "ideal" in one}
    assert ideal["on"] > 0.97
    assert ideal["on"] > ideal["off"]
    # it came to this line, and no image was prepared of which nothing was asked
    assert [one["shown"] for one in found if "remembered" in one] == [0]


def test_nninteractive_refuses_other_folders(docker_engine):
    told = {
        one["case"]: one["refused"] for one in run_inside(docker_engine, "nninteractive", "nninteractive_folders.py")
    }
    assert told.pop("the right one") is None
    assert len(told) == 15
    assert all(told.values()), told
    assert "Missing key" in told["a layer is lacking"]
    assert "Unexpected key" in told["a layer too many"]


def test_segvol(docker_engine, not_run, figures):
    """Crop equal; input and logits to 1e-5; masks but for rounding; each voxel of them is on the image."""
    found = run_inside(docker_engine, "segvol", "segvol.py", "monai", bundle_with("segvol", not_run))
    assert len(found) == 18
    assert max(one["windows"] for one in found) > 1
    for one in found:
        figures(f"segvol beside upstream, {one}")
        assert one["crop"]
        assert one["input"] < 1e-5
        assert one["squeezed"] < 1e-5
        assert one["logits"] < 1e-4
        assert one["mask_differs"] <= 1e-4 * one["mask_voxels"]
        assert one["back_voxels_lost"] == 0


def test_nnunet(docker_engine, figures):
    """The same labels as nnU-Net's own files; with an ideal network inside nnU-Net's predictor, the reference."""
    found = run_inside(docker_engine, "nnunet", "nnunet_package.py")
    beside, ideal = [one for one in found if "volume" in one], [one for one in found if "ideal" in one]
    assert (len(beside), len(ideal)) == (8, 8)
    for one in beside:
        figures(f"nnunet beside upstream, {one}")
        assert one["voxels"] > 0
        assert one["differs"] <= 1e-5 * one["voxels"]
    for one in ideal:
        figures(f"nnunet with an ideal network in its predictor, {one}")
        assert one["patches"] > 100
        assert one["worst_large"] >= 0.97
        assert one["worst_small"] >= 0.90


def test_nnunet_refuses_other_folders(docker_engine):
    """nnU-Net would open some of them, and fail in the first prediction."""
    told = {one["case"]: one["refused"] for one in run_inside(docker_engine, "nnunet", "nnunet_folders.py")}
    assert told.pop("the right one") is None
    assert told.pop("a variant of nnU-Net's") is None
    assert len(told) == 11
    assert all(told.values()), told
    assert "fold_1" in told["an array less in the second fold"]


def test_totalsegmentator(docker_engine, figures):
    """The networks' input equal; the same labels but for voxels half-way between two of the lattice's."""
    found = run_inside(docker_engine, "totalsegmentator", "totalsegmentator_package.py")
    assert len(found) == 4
    for one in found:
        figures(f"totalsegmentator beside upstream, {one}")
        assert one["input"] == 0
        assert one["labels"] > 0.8 * one["classes"]
        assert one["empty"] == 0
        assert one["differs_off_ties"] <= 1e-5 * one["voxels"]
        assert one["differs"] <= 1e-3 * one["voxels"]


def test_totalsegmentator_refuses_other_folders(docker_engine):
    """Vertebrae for ribs: 26 classes each, which nnU-Net would open."""
    told = {
        one["case"]: one["refused"]
        for one in run_inside(docker_engine, "totalsegmentator", "totalsegmentator_folders.py")
    }
    assert told.pop("the right ones") is None
    assert len(told) == 5
    assert all(told.values()), told
    assert "Dataset292_" in told["vertebrae for ribs"]


def test_mrsegmentator(docker_engine, figures):
    """The same labels as the package's own files, on the same grid."""
    found = run_inside(docker_engine, "mrsegmentator", "mrsegmentator_package.py", "mrsegmentator")
    assert len(found) == 6
    for one in found:
        figures(f"mrsegmentator beside upstream, {one}")
        assert one["same_grid"]
        assert one["labels"] > 0.9 * 41
        assert one["voxels"] > 0
        assert one["differs"] <= 1e-5 * one["voxels"]
