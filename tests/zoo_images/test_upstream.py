"""Our pipelines beside upstream's, with the same random weights, inside the models' own images.

Run by ``make test-upstream``. What upstream needs beside the image (torchio at the version its code
wants, MONAI) is collected by hash and mounted. The comparisons with upstream's own functions, which
no index has, are in docs/validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.zoo import ImageBuildConfig, ensure_image, find_model
from evaluator.zoo.build_lock import build_lock
from evaluator.zoo.weights import Weights
from evaluator.zoo.wheels import ImagePlatform, collect_wheels, unpack_wheels
from tests.tiny import ROOT
from tests.zoo_images.test_images import BUNDLE, needs, skip_without

HERE = Path(__file__).parent / "upstream"
#: packages of a lock that have no wheel
SOURCE_ONLY = {"voxtell": ("acvl-utils",)}


def collected(name: str) -> Path:
    """The packages of a lock, without torch, numpy, scipy and SimpleITK, which they need."""
    folder = paths.cache() / "upstream" / name
    with build_lock(paths.cache() / "turns" / f"upstream-{name}.lock", f"collects {name}"):
        if not folder.is_dir():
            image = ImagePlatform(flavour="cpu")
            wheels = folder.with_name(f"{name}-wheels")
            wheels.mkdir(parents=True, exist_ok=True)
            wheel_paths = collect_wheels(
                HERE / f"{name}.lock", SOURCE_ONLY.get(name, ()), image, wheels
            )
            unpack_wheels(wheel_paths, image, folder)
    return folder


def run_inside(
    engine, image: str, script: str, site: str | None = None, bundle: Path | None = None
):
    """The JSON lines that a script prints, run in a model's image on this checkout, offline."""
    order = ImageBuildConfig(weights=Weights(kind="random", size="small"), bundle=bundle)
    built = ensure_image(find_model(image), order)
    volumes = {str(ROOT): {"bind": "/repo", "mode": "ro"}}
    if site:
        volumes[str(collected(site))] = {"bind": "/site", "mode": "ro"}
    path = built_path(engine, built.reference)
    output = engine.client.containers.run(
        built.reference,
        [f"/repo/tests/zoo_images/upstream/{script}", "small"],
        entrypoint=["python3"],
        environment={"PYTHONPATH": f"{path}:/site", "HOME": "/tmp"},
        volumes=volumes,
        network_mode="none",
        remove=True,
    )
    return [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]


def built_path(engine, reference: str) -> str:
    """PYTHONPATH of an image."""
    settings = engine.client.images.get(reference).attrs["Config"]["Env"]
    return dict(setting.split("=", 1) for setting in settings)["PYTHONPATH"]


def test_sam_med3d(docker_engine, figures):
    """Grid and clicks equal; input to 1e-4, or one grey value of integers; masks but for rounding.

    Half-way between two voxels of the network's lattice rounding noise decides which one ITK takes;
    such voxels of the image are left out of the last comparison, and counted.
    """
    lines = run_inside(docker_engine, "sam-med3d", "sam_med3d.py", "torchio")
    assert len(lines) == 12
    for line in lines:
        figures(f"sam-med3d beside upstream, {line}")
        assert line["lattice"]
        assert line["affine"] < 1e-4
        assert line["input"] < 1e-4 + 1.5 * line["grey_value"]
        assert line["logits"] < 1e-3
        assert line["mask_differs"] <= 1e-3 * line["mask_voxels"]
        assert line["back_differs_off_ties"] <= 1e-3 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_vista3d(docker_engine, figures):
    """View equal; input to 1e-5; logits to the rounding of 16 bits; masks but for ties."""
    lines = run_inside(docker_engine, "vista3d", "vista3d.py", "monai")
    assert len(lines) == 21
    for line in lines:
        figures(f"vista3d beside upstream, {line}")
        assert line["view"]
        assert line["affine"] < 1e-4
        assert line["input"] < 1e-4
        assert line["unknown_differs"] == 0
        # clicks on top of a class: where a part begins in a mask of 16 bits decides what is
        # corrected
        assert line["logits"] < (0.2 if line["question"] == "class, then clicks" else 1e-3)
        assert line["signs_differ"] <= 1e-4 * line["voxels"]
        assert line["back_differs_off_ties"] <= 1e-3 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_nv_segment_ctmr(docker_engine, figures):
    """As VISTA3D's classes; upstream's averages have 32 bits on a CPU, ours 16 bits."""
    lines = run_inside(docker_engine, "nv-segment-ctmr", "nv_segment_ctmr.py", "monai")
    assert len(lines) == 9
    for line in lines:
        figures(f"nv-segment-ctmr beside upstream, {line}")
        assert line["view"]
        assert line["affine"] < 1e-4
        assert line["input"] < 1e-4
        assert line["unknown_differs"] == 0
        assert line["logits"] < 1e-3
        assert line["signs_differ"] <= 1e-4 * line["voxels"]
        assert line["back_voxels"] > 0
        assert line["back_differs_off_ties"] <= 1e-3 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


@pytest.fixture
def bundle(not_run):
    """The bundle that has SAT's source; without one SAT is told as not run."""
    return bundle_with("sat-nano", not_run)


def bundle_with(image: str, not_run: Callable[[str], None]) -> Path:
    """The bundle, if it has this image's source."""
    if lacking := needs(image):
        not_run(f"{image} beside upstream: NOT RUN, needs {lacking}")
        skip_without(lacking)
    return Path(str(BUNDLE))


def test_sat(docker_engine, bundle, figures):
    """Crop equal; input to 1e-4 of a standard deviation; masks but for rounding and ties."""
    lines = run_inside(docker_engine, "sat-nano", "sat.py", "monai", bundle)
    assert len(lines) == 6
    assert max(line["patches"] for line in lines) > 1
    for line in lines:
        figures(f"sat-nano beside upstream, {line}")
        assert line["input"] < 1e-4
        assert line["probabilities"] < 1e-5
        assert line["mask_differs"] <= 1e-4 * line["mask_voxels"]
        assert line["back_differs_off_ties"] <= 1e-4 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_sat_refuses_other_checkpoints(docker_engine, bundle):
    """Upstream would take what fits of each of them (its issue 26)."""
    refusals = {
        line["case"]: line["refused"]
        for line in run_inside(docker_engine, "sat-nano", "sat_checkpoints.py", bundle=bundle)
    }
    assert refusals.pop("the right ones") is None
    assert len(refusals) == 8
    assert all(refusals.values()), refusals
    assert "pre-training" in refusals["pre-training with images as network"]
    assert "pre-training" in refusals["pre-training with text alone as text encoder"]


def test_voxtell(docker_engine, figures):
    """Crop equal; input to 1e-5 of a standard deviation; masks but for 16-bit rounding."""
    lines = run_inside(docker_engine, "voxtell", "voxtell_package.py", "voxtell")
    assert len(lines) == 4
    assert max(line["patches"] for line in lines) > 1
    for line in lines:
        figures(f"voxtell beside upstream, {line}")
        assert line["crop"]
        assert line["input"] < 1e-5
        assert line["back_differs"] <= 1e-4 * line["back_voxels"]


def test_ct_fm(docker_engine, figures):
    """Crop equal; input to 1e-5; our label's logit within 1e-4 of the best; masks but for ties."""
    lines = run_inside(docker_engine, "ct-fm", "ct_fm.py", "ct_fm")
    assert len(lines) == 4
    assert max(line["windows"] for line in lines) > 1
    for line in lines:
        figures(f"ct-fm beside upstream, {line}")
        assert line["crop"]
        assert line["input"] < 1e-5
        assert line["classes"] > 4
        assert line["logit_behind"] < 1e-4
        assert line["labels_differ"] <= 1e-3 * line["labels"]
        assert line["back_voxels"] > 0
        assert line["back_differs_off_ties"] <= 1e-3 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_nninteractive(docker_engine, figures):
    """Every mask equal; with an ideal network the autozoom completes a large organ."""
    lines = run_inside(docker_engine, "nninteractive", "nninteractive.py")
    for line in lines:
        figures(f"nninteractive beside upstream, {line}")
    compared = [line for line in lines if "what" in line]
    assert len(compared) == 20
    assert all(line["differ"] == 0 and line["voxels"] > 0 for line in compared)
    ideal = {line["autozoom"]: line["dice"] for line in lines if "ideal" in line}
    assert ideal["on"] > 0.97
    assert ideal["on"] > ideal["off"]
    # the script ended, and prepared no image without a request
    assert [line["shown"] for line in lines if "remembered" in line] == [0]


def test_nninteractive_refuses_other_folders(docker_engine):
    refusals = {
        line["case"]: line["refused"]
        for line in run_inside(docker_engine, "nninteractive", "nninteractive_folders.py")
    }
    assert refusals.pop("the right one") is None
    assert len(refusals) == 15
    assert all(refusals.values()), refusals
    assert "Missing key" in refusals["a layer is lacking"]
    assert "Unexpected key" in refusals["a layer too many"]


def test_segvol(docker_engine, not_run, figures):
    """Crop equal; input and logits to 1e-5; masks but for rounding, without lost voxels."""
    lines = run_inside(
        docker_engine, "segvol", "segvol.py", "monai", bundle_with("segvol", not_run)
    )
    assert len(lines) == 18
    assert max(line["windows"] for line in lines) > 1
    for line in lines:
        figures(f"segvol beside upstream, {line}")
        assert line["crop"]
        assert line["input"] < 1e-5
        assert line["squeezed"] < 1e-5
        assert line["logits"] < 1e-4
        assert line["mask_differs"] <= 1e-4 * line["mask_voxels"]
        assert line["back_voxels_lost"] == 0


def test_nnunet(docker_engine, figures):
    """The labels of nnU-Net's files; the reference with an ideal network in its predictor."""
    lines = run_inside(docker_engine, "nnunet", "nnunet_package.py")
    compared, ideal = (
        [line for line in lines if "volume" in line],
        [line for line in lines if "ideal" in line],
    )
    assert (len(compared), len(ideal)) == (8, 8)
    for line in compared:
        figures(f"nnunet beside upstream, {line}")
        assert line["voxels"] > 0
        assert line["differs"] <= 1e-5 * line["voxels"]
    for line in ideal:
        figures(f"nnunet with an ideal network in its predictor, {line}")
        assert line["patches"] > 100
        assert line["worst_large"] >= 0.97
        assert line["worst_small"] >= 0.90


def test_nnunet_refuses_other_folders(docker_engine):
    """nnU-Net would open some of them, and fail in the first prediction."""
    refusals = {
        line["case"]: line["refused"]
        for line in run_inside(docker_engine, "nnunet", "nnunet_folders.py")
    }
    assert refusals.pop("the right one") is None
    assert refusals.pop("a variant of nnU-Net's") is None
    assert len(refusals) == 11
    assert all(refusals.values()), refusals
    assert "fold_1" in refusals["an array less in the second fold"]


def test_lion(docker_engine, figures):
    """The network's input as SimpleITK's spline makes it, then nnU-Net's own labels."""
    lines = run_inside(docker_engine, "lion", "lion_steps.py")
    assert len(lines) == 8
    for line in lines:
        figures(f"lion beside its package's steps, {line}")
        assert line["shape"]
        assert line["input"] < 1e-4
        assert line["labels"] > 1
        assert line["labels_differ"] <= 1e-4 * line["label_voxels"]
        assert line["back_voxels"] > 0
        assert line["back_differs_off_ties"] <= 1e-3 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_moose(docker_engine, figures):
    """Its three networks' input as SimpleITK's spline makes it, then nnU-Net's own labels.

    Where the spline gives a whole number, its last bit decides which integer stands in the file.
    """
    lines = run_inside(docker_engine, "moose", "moose_steps.py")
    assert len(lines) == 9
    for line in lines:
        figures(f"moose beside its package's steps, {line}")
        assert line["shape"]
        assert line["input"] < 1.01
        assert line["input_differs_off_whole_numbers"] == 0
        assert line["labels"] > 1
        assert line["labels_differ"] <= 2e-3 * line["label_voxels"]
        assert line["back_voxels"] > 0
        assert line["back_differs_off_ties"] <= 1e-2 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_vibesegmentator(docker_engine, figures):
    """The network's input but for rounding to 16 bits, which may turn a label near a tie."""
    lines = run_inside(
        docker_engine, "vibesegmentator", "vibesegmentator_package.py", "vibesegmentator"
    )
    assert len(lines) == 4
    assert lines[-1]["brightest"] > 10000
    for line in lines:
        figures(f"vibesegmentator beside upstream, {line}")
        assert line["shape"]
        assert line["input"] < 1e-3
        assert line["input_differs"] <= 1e-2 * line["input_voxels"]
        assert line["labels"] > 10
        assert line["logit_behind"] < 0.02
        assert line["labels_differ"] <= 1e-2 * line["label_voxels"]
        assert line["back_voxels"] > 0
        assert line["back_differs_off_ties"] <= 1e-2 * line["back_voxels"]
        assert line["back_differs"] <= 0.1 * line["back_voxels"]


def test_totalsegmentator(docker_engine, figures):
    """The networks' input equal; labels equal but for voxels half-way between two of the grid."""
    lines = run_inside(docker_engine, "totalsegmentator", "totalsegmentator_package.py")
    assert len(lines) == 4
    for line in lines:
        figures(f"totalsegmentator beside upstream, {line}")
        assert line["input"] == 0
        assert line["labels"] > 0.8 * line["classes"]
        assert line["empty"] == 0
        assert line["differs_off_ties"] <= 1e-5 * line["voxels"]
        assert line["differs"] <= 1e-3 * line["voxels"]


def test_totalsegmentator_refuses_other_folders(docker_engine):
    """Vertebrae for ribs: 26 classes each, which nnU-Net would open."""
    refusals = {
        line["case"]: line["refused"]
        for line in run_inside(docker_engine, "totalsegmentator", "totalsegmentator_folders.py")
    }
    assert refusals.pop("the right ones") is None
    assert len(refusals) == 5
    assert all(refusals.values()), refusals
    assert "Dataset292_" in refusals["vertebrae for ribs"]


def test_mrsegmentator(docker_engine, figures):
    """The same labels as the package's own files, on the same grid."""
    lines = run_inside(docker_engine, "mrsegmentator", "mrsegmentator_package.py", "mrsegmentator")
    assert len(lines) == 6
    for line in lines:
        figures(f"mrsegmentator beside upstream, {line}")
        assert line["same_grid"]
        assert line["labels"] > 0.9 * 41
        assert line["voxels"] > 0
        assert line["differs"] <= 1e-5 * line["voxels"]
