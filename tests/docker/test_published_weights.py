"""One network with its published weights, from the package index to a score, in its container.

The wheel and the head are fetched by hash. What is expected was computed with upstream's own code
(models/deepbet/README.md).
"""

from __future__ import annotations

import pytest

from evaluator.analysis.run_header import header
from evaluator.datasets.debian_package import fetch_debian
from evaluator.manifests.datasets import (
    dataset_manifests,
    fetched_folder,
    read_dataset_manifest,
)
from evaluator.runs.results import load
from evaluator.zoo import ensure_image, find_model
from tests.conftest import order

#: Dice against BET's mask; upstream's own code gives the same mask
DICE, TOLERANCE = 0.936, 0.002


@pytest.fixture(scope="module")
def colin27():
    """The head, from Debian's package."""
    manifest = read_dataset_manifest(dataset_manifests()["colin27"])
    files = fetch_debian(manifest, fetched_folder("colin27"))
    assert [file.name for file in files] == ["ch2.nii.gz", "ch2bet.nii.gz"]
    return "colin27"


def test_deepbet_with_published_weights_gives_the_known_score(docker_engine, colin27):
    built = ensure_image(find_model("deepbet"))
    assert set(built.weights) == {"bbox_model.pt", "model.pt"}
    assert built.card.weights == "published"
    run = order("deepbet", colin27, "text")
    (record,) = run.records()
    entry = record.rounds[-1].targets["brain"]
    assert entry.status == "ok"
    assert record.rounds[-1].reply.notes["weights"] == "published"
    scores = load(run).scores
    (dice,) = scores[scores["metric"] == "dice"]["value"]
    assert abs(dice - DICE) <= TOLERANCE
    assert not any("RANDOM" in line for line in header(run))
    assert any("BET's brain mask, not expert labels" in line for line in header(run))
