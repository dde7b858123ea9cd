"""Scorers by others on the same pairs: numbers agree where the definitions agree.

Other differences follow from the definitions. DeepMind's package defines this project's metrics.
MONAI and SimpleITK compute in single precision.
"""

from __future__ import annotations

import json
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from evaluator.metrics.kernels.skeleton import thin
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure, measure_labels
from tests.oracles.definitions import by_voxels

TOLERANCE = 2.0
BOTH = ("reference", "prediction")
SINGLE = 2e-6
#: torch.quantile interpolates between two distances in single precision
QUANTILE = 1e-3


def ours(pair: Any) -> dict[int, Any]:
    _, reference, prediction, labels, spacing = pair
    targets = {str(label): (label,) for label in labels}
    tolerances = dict.fromkeys(targets, TOLERANCE)
    measured = measure_labels(reference, prediction, targets, spacing, tolerances)
    return {int(name): measures for name, measures in measured.items()}


PEER_SCORES: dict[tuple[str, str], Any] = {}
PLAIN: dict[tuple[str, int], Any] = {}


def peer_scores(peers: Any, peer: str, pair: Any) -> dict[int, Any]:
    name, _, _, labels, spacing = pair
    if (peer, name) not in PEER_SCORES:
        PEER_SCORES[peer, name] = peers.score(peer, name, labels, spacing, TOLERANCE, more=True)[
            "scores"
        ]
    assert set(PEER_SCORES[peer, name]) == set(labels)
    return PEER_SCORES[peer, name]


def plain(pair: Any, label: int) -> dict[str, Any]:
    name, reference, prediction, _, spacing = pair
    if (name, label) not in PLAIN:
        either = (reference == label) | (prediction == label)
        (box,) = ndimage.find_objects(either.astype(np.uint8))
        masks = [np.pad(volume[box] == label, 1) for volume in (reference, prediction)]
        PLAIN[name, label] = by_voxels(*masks, spacing, TOLERANCE)
    return PLAIN[name, label]


def values(measures: Any) -> dict[str, Any]:
    names = ("dice", "iou", "nsd", "hd", "hd95", "assd", "masd")
    return {row.metric: row.value for row in score(measures, names)}


def test_deepminds_package_has_our_numbers(peers: Any, pair: Any) -> None:
    theirs = peer_scores(peers, "deepmind", pair)
    for label, measures in ours(pair).items():
        values_here = values(measures)
        for name in ("dice", "nsd", "hd", "hd95"):
            assert values_here[name] == pytest.approx(theirs[label][name], rel=1e-12, abs=1e-9), (
                label,
                name,
            )
        for side in ("reference", "prediction"):
            assert getattr(measures, side).mean == pytest.approx(
                theirs[label][f"mean_of_{side}"], abs=1e-9
            )


def test_overlaps_are_everyones(peers: Any, pair: Any) -> None:
    expected = {label: values(measures) for label, measures in ours(pair).items()}
    for peer, within in (("medpy", 0), ("panoptica", 0), ("simpleitk", 1e-15), ("monai", SINGLE)):
        for label, theirs in peer_scores(peers, peer, pair).items():
            assert theirs["dice"] == pytest.approx(expected[label]["dice"], rel=within, abs=0), (
                peer,
                label,
            )
    for label, theirs in peer_scores(peers, "simpleitk", pair).items():
        assert theirs["iou"] == pytest.approx(expected[label]["iou"], rel=1e-15)


def test_monais_surface_dice_with_subvoxels_is_ours(peers: Any, pair: Any) -> None:
    theirs = peer_scores(peers, "monai", pair)
    for label, measures in ours(pair).items():
        assert theirs[label]["nsd_subvoxels"] == pytest.approx(values(measures)["nsd"], rel=SINGLE)


def test_monai_takes_surface_voxels_and_the_larger_directed_percentile(
    peers: Any, pair: Any
) -> None:
    for label, theirs in peer_scores(peers, "monai", pair).items():
        means = plain(pair, label)
        for name, word in (
            ("hd", "hd"),
            ("hd95", "hd95_of_directed"),
            ("assd", "assd"),
            ("nsd", "nsd"),
        ):
            within = QUANTILE if name == "hd95" else SINGLE
            assert theirs[name] == pytest.approx(means[word], rel=within, abs=within), (label, name)


def test_medpy_takes_surface_voxels_and_pools_them(peers: Any, pair: Any) -> None:
    for label, theirs in peer_scores(peers, "medpy", pair).items():
        means = plain(pair, label)
        for name, word in (("hd", "hd"), ("hd95", "hd95_pooled"), ("assd", "assd")):
            assert theirs[name] == pytest.approx(means[word], abs=1e-9), (label, name)


def test_panoptica_pools_the_percentile_and_means_masd_by_assd(peers: Any, pair: Any) -> None:
    for label, theirs in peer_scores(peers, "panoptica", pair).items():
        means = plain(pair, label)
        for name, word in (
            ("hd", "hd"),
            ("hd95", "hd95_pooled"),
            ("assd", "masd"),
            ("nsd", "nsd_of_directed"),
        ):
            assert theirs[name] == pytest.approx(means[word], abs=1e-9), (label, name)


def test_simpleitks_hausdorff_filter_measures_filled_masks(peers: Any, pair: Any) -> None:
    for label, theirs in peer_scores(peers, "simpleitk", pair).items():
        assert theirs["hd_of_masks"] == pytest.approx(plain(pair, label)["hd_of_masks"], rel=1e-5)


@pytest.mark.parametrize("pair", ["synthetic", "lesions"], indirect=True)
def test_panopticas_matches_are_ours(peers: Any, pair: Any) -> None:
    """On components joined as here; panoptica joins over corners.

    Its threshold "at least half" is set to the project's "more than half".
    """
    _, reference, prediction, labels, spacing = pair
    joined = ndimage.generate_binary_structure(3, 2)
    label = labels[0]
    masks = [volume == label for volume in (reference, prediction)]
    components = [ndimage.label(mask, joined)[0] for mask in masks]
    peers.load("components", *components)
    theirs = peers.ask("lesions", name="components")
    measures = measure(*masks, spacing, 1.0, measurements=["lesions"])
    lesions = measures.lesions
    assert lesions is not None
    assert (theirs["tp"], theirs["fp"], theirs["fn"]) == (
        lesions.matched,
        lesions.prediction - lesions.matched,
        lesions.reference - lesions.matched,
    )
    values_here = {
        row.metric: row.value for row in score(measures, ("lesion_f1", "panoptic_quality"))
    }
    assert values_here["lesion_f1"] == pytest.approx(theirs["rq"], rel=1e-12)
    assert values_here["panoptic_quality"] == pytest.approx(theirs["pq"], rel=1e-12)


@pytest.mark.parametrize("pair", ["synthetic", "lesions", "balls"], indirect=True)
def test_thinning_is_scikit_images_except_for_components_that_it_loses(
    peers: Any, pair: Any
) -> None:
    _, reference, _, labels, _ = pair
    connected = np.ones((3, 3, 3))
    for label in labels[:4]:
        (box,) = ndimage.find_objects((reference == label).astype(np.uint8))
        mask = np.ascontiguousarray(reference[box] == label)
        line, theirs = thin(mask), peers.skeleton(mask)
        assert not (theirs & ~line).any()
        only_here = line & ~theirs
        # voxels that only this project has are the last ones of a component
        assert ndimage.label(line, connected)[1] - ndimage.label(theirs, connected)[
            1
        ] == np.count_nonzero(only_here)
        assert np.count_nonzero(only_here) <= 0.02 * np.count_nonzero(line) + 1


def test_the_voxel_metrics_of_the_shared_data_follow_the_definitions(shared_data: Any) -> None:
    words = {"hd": "hd", "hd95_max_of_directed": "hd95_of_directed", "hd95_pooled": "hd95_pooled"}
    words |= {"masd_mean_of_directed": "masd", "assd_pooled": "assd"}
    compared = 0
    for folder in ("03_totalsegmentator", "04_autopet_psma_wholebody_masks", "08_meshmetrics_pair"):
        for entry in json.loads((shared_data / folder / "expected.json").read_text())["pairs"]:
            volumes = [
                np.asanyarray(nibabel.load(shared_data / folder / entry[which]).dataobj)
                for which in BOTH
            ]
            for label, expected in entry["per_label"].items():
                if "hd" not in expected:
                    continue
                means = plain((entry["prediction"], *volumes, None, entry["spacing"]), int(label))
                for name, word in words.items():
                    assert means[word] == pytest.approx(expected[name], rel=1e-12), (
                        folder,
                        label,
                        name,
                    )
                assert means["nsd"] == pytest.approx(expected["nsd_voxelsurface_2mm"], rel=1e-12)
                compared += 1
    assert compared > 100
