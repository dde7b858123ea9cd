"""Metrics of the same name by other scorers, on the same pairs of real masks.

Needs the peers and the shared scans.

    make compare-peers          # or: PYTHONPATH=. python benchmarks/compare_peers.py [--write]

``--write`` puts the table into docs/metrics.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from benchmarks.tables import ROOT, table, write
from evaluator import paths
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure
from tests.oracles.client import Peers

TOLERANCE_MM = 2.0
PAIRS = {
    "spleen": ("03_totalsegmentator", "example_seg.nii.gz", "example_seg_fast.nii.gz", 1),
    "lesions": (
        "04_autopet_psma_wholebody_masks",
        "reference.nii.gz",
        "pred_nnunet_baseline.nii.gz",
        1,
    ),
    "vertebra": ("06_panoptica_spine_pred_ref", "semantic_ref.nii.gz", "semantic_pred.nii.gz", 26),
    "balls": (
        "08_meshmetrics_pair",
        "example_3d_ref_mask.nii.gz",
        "example_3d_pred_mask.nii.gz",
        1,
    ),
}
PEERS = {
    "deepmind": "DeepMind",
    "monai": "MONAI",
    "medpy": "MedPy",
    "panoptica": "panoptica",
    "simpleitk": "SimpleITK",
}
COLUMNS = ("dice", "nsd", "hd", "hd95", "assd", "masd")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/metrics.md")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name, Peers(Path(name)) as peers:
        versions = peers.ask("versions")
        for pair, (folder, *files, label) in PAIRS.items():
            images: list[Any] = [
                nibabel.load(paths.shared_data() / folder / file) for file in files
            ]
            reference, prediction = (
                np.asanyarray(image.dataobj).astype(np.uint8) for image in images
            )
            spacing = [float(step) for step in images[0].header.get_zooms()[:3]]
            measures = measure(reference == label, prediction == label, spacing, TOLERANCE_MM)
            values = {result.metric: result.value for result in score(measures, COLUMNS)}
            rows.append(row(pair, "umd", values))
            peers.load(pair, reference, prediction)
            for peer, title in PEERS.items():
                result = peers.score(peer, pair, [label], spacing, TOLERANCE_MM, more=True)
                values = result["scores"][label]
                rows.append(row(pair, f"{title} {versions[peer]}", values))
    text = table(["pair", "scorer", "Dice", "NSD at 2 mm", "HD", "HD95", "“ASSD”", "MASD"], rows)
    print(text)
    if arguments.write:
        write("compare-peers", text, ROOT / "docs/metrics.md")


def row(pair: str, scorer: str, values: dict[str, Any]) -> list[str]:
    if "mean_of_reference" in values:
        values = values | {"masd": (values["mean_of_reference"] + values["mean_of_prediction"]) / 2}
    return [pair, scorer, *(f"{values[name]:.4f}" if name in values else "" for name in COLUMNS)]


if __name__ == "__main__":
    main()
