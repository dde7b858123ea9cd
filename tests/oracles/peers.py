"""Scorers by others, each used well: on the box about a label's two masks, one voxel wider.

Runs in the peers' environment. Answers requests on standard input, one JSON object a line, with one
line each; arrays lie in ``.npy`` files:

    {"do": "load", "name": "a", "reference": "r.npy", "prediction": "p.npy"}
    {"do": "score", "peer": "monai", "name": "a", "labels": [1], "spacing": [1, 1, 2],
     "tolerance": 2.0}
    {"do": "skeleton", "file": "m.npy", "to": "s.npy"}
    {"do": "lesions", "name": "a"}
    {"do": "versions"}

A score has the seconds that it took, the peak memory of this process since its start, and numbers
by label.
"""

import importlib.metadata
import json
import resource
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")

PACKAGES = {
    "deepmind": "surface-distance-based-measures",
    "monai": "monai",
    "medpy": "MedPy",
    "panoptica": "panoptica",
    "simpleitk": "SimpleITK",
}
PAIRS = {}


def crops(reference, prediction, labels):
    """All labels' masks, their boxes found in one pass over the volumes."""
    from scipy import ndimage

    boxes = [
        ndimage.find_objects(volume, max_label=max(labels)) for volume in (reference, prediction)
    ]
    for label in labels:
        of_label = [of_volume[label - 1] for of_volume in boxes]
        if None in of_label:
            continue
        box = tuple(
            slice(min(a.start, b.start), max(a.stop, b.stop))
            for a, b in zip(*of_label, strict=True)
        )
        yield label, [np.pad(volume[box] == label, 1) for volume in (reference, prediction)]


def deepmind(reference, prediction, spacing, tolerance):
    import surface_distance as sd

    distances = sd.compute_surface_distances(reference, prediction, spacing)
    mean = sd.compute_average_surface_distance(distances)
    return {
        "dice": sd.compute_dice_coefficient(reference, prediction),
        # this project's slack for the rounding of headers
        "nsd": sd.compute_surface_dice_at_tolerance(distances, tolerance * (1 + 1e-6)),
        "hd": sd.compute_robust_hausdorff(distances, 100),
        "hd95": sd.compute_robust_hausdorff(distances, 95),
        "mean_of_reference": mean[0],
        "mean_of_prediction": mean[1],
    }


def monai(reference, prediction, spacing, tolerance):
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    y, y_pred = (
        torch.from_numpy(mask.astype(np.uint8))[None, None] for mask in (reference, prediction)
    )
    usual = {"y_pred": y_pred, "y": y, "include_background": True, "spacing": list(spacing)}
    return {
        "dice": compute_dice(y_pred, y),
        "nsd": compute_surface_dice(class_thresholds=[tolerance], **usual),
        "hd95": compute_hausdorff_distance(percentile=95, **usual),
        "assd": compute_average_surface_distance(symmetric=True, **usual),
    }


def monai_more(reference, prediction, spacing, tolerance):
    """Its other metrics; not timed."""
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    y, y_pred = (
        torch.from_numpy(mask.astype(np.uint8))[None, None] for mask in (reference, prediction)
    )
    usual = {"y_pred": y_pred, "y": y, "include_background": True, "spacing": list(spacing)}
    return {
        "hd": compute_hausdorff_distance(**usual),
        "nsd_subvoxels": compute_surface_dice(
            class_thresholds=[tolerance], use_subvoxels=True, **usual
        ),
    }


def medpy(reference, prediction, spacing, tolerance):
    from medpy.metric import binary

    return {
        "dice": binary.dc(prediction, reference),
        "hd": binary.hd(prediction, reference, spacing),
        "hd95": binary.hd95(prediction, reference, spacing),
        "assd": binary.assd(prediction, reference, spacing),
    }


def panoptica(reference, prediction, spacing, tolerance):
    from panoptica import Metric

    return {
        "dice": Metric.DSC(reference, prediction),
        "nsd": Metric.NSD(reference, prediction, voxelspacing=spacing, threshold=tolerance),
        "hd95": Metric.HD95(reference, prediction, voxelspacing=spacing),
        "assd": Metric.ASSD(reference, prediction, voxelspacing=spacing),
    }


def panoptica_more(reference, prediction, spacing, tolerance):
    """Its other metrics; not timed."""
    from panoptica import Metric

    return {
        "hd": Metric.HD(reference, prediction, voxelspacing=spacing),
        "cldice": Metric.clDSC(reference, prediction),
    }


def simpleitk(reference, prediction, spacing, tolerance):
    import SimpleITK

    # its arrays have their axes the other way round
    images = [
        SimpleITK.GetImageFromArray(mask.T.astype(np.uint8)) for mask in (reference, prediction)
    ]
    for image in images:
        image.SetSpacing([float(step) for step in spacing])
    maps = [
        SimpleITK.SignedMaurerDistanceMap(i, squaredDistance=False, useImageSpacing=True)
        for i in images
    ]
    away = [np.abs(SimpleITK.GetArrayViewFromImage(each)) for each in maps]
    contours = [SimpleITK.LabelContour(image) for image in images]  # a view does not keep its image
    edges = [SimpleITK.GetArrayViewFromImage(contour) != 0 for contour in contours]
    distances = [away[1][edges[0]], away[0][edges[1]]]
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    pooled = np.concatenate(distances)
    return {
        "dice": overlap.GetDiceCoefficient(),
        "iou": overlap.GetJaccardCoefficient(),
        "nsd": (pooled <= tolerance).mean(),
        "hd95": max(np.percentile(each, 95) for each in distances),
        "assd": pooled.mean(),
    }


def simpleitk_more(reference, prediction, spacing, tolerance):
    """The filter for filled masks; not timed."""
    import SimpleITK

    images = [
        SimpleITK.GetImageFromArray(mask.T.astype(np.uint8)) for mask in (reference, prediction)
    ]
    for image in images:
        image.SetSpacing([float(step) for step in spacing])
    farthest = SimpleITK.HausdorffDistanceImageFilter()
    farthest.Execute(*images)
    return {"hd_of_masks": farthest.GetHausdorffDistance()}


SCORERS = {
    "deepmind": deepmind,
    "monai": monai,
    "medpy": medpy,
    "panoptica": panoptica,
    "simpleitk": simpleitk,
}
MORE = {"monai": monai_more, "panoptica": panoptica_more, "simpleitk": simpleitk_more}


def score(peer, name, labels, spacing, tolerance, more=False):
    reference, prediction = PAIRS[name]
    start = time.perf_counter()
    results = {}
    for label, masks in crops(reference, prediction, labels):
        results[label] = SCORERS[peer](*masks, tuple(spacing), tolerance)
    seconds = time.perf_counter() - start
    if more and peer in MORE:
        for label, masks in crops(reference, prediction, labels):
            results[label].update(MORE[peer](*masks, tuple(spacing), tolerance))
    scores = {label: floats(values) for label, values in results.items()}
    return {"seconds": seconds, "peak_mb": peak_mb(), "scores": scores}


def floats(values):
    return {key: float(value) for key, value in values.items()}


def lesions(name):
    """panoptica's counts on given instances, matched where their IoU is above one half.

    It matches at one half as well, hence the threshold.
    """
    from panoptica import InputType, Panoptica_Evaluator
    from panoptica.instance_matcher import NaiveThresholdMatching

    evaluator = Panoptica_Evaluator(
        expected_input=InputType.UNMATCHED_INSTANCE,
        instance_matcher=NaiveThresholdMatching(matching_threshold=0.5 + 1e-9),
    )
    reference, prediction = PAIRS[name]
    result = evaluator.evaluate(prediction, reference, verbose=False)["ungrouped"]
    return {key: float(getattr(result, key)) for key in ("tp", "fp", "fn", "rq", "sq", "pq")}


def skeleton(file, to):
    from skimage.morphology import skeletonize

    np.save(to, skeletonize(np.pad(np.load(file), 1), method="lee")[1:-1, 1:-1, 1:-1] > 0)
    return {}


def load(name, reference, prediction):
    PAIRS[name] = [np.load(reference), np.load(prediction)]
    return {"peak_mb": peak_mb()}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def versions():
    return {peer: importlib.metadata.version(package) for peer, package in PACKAGES.items()}


DOES = {
    "load": load,
    "score": score,
    "lesions": lesions,
    "skeleton": skeleton,
    "versions": versions,
}


def main():
    answers = sys.stdout
    sys.stdout = sys.stderr  # prints of the packages must not mix with the answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = DOES[request.pop("do")](**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
