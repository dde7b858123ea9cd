"""Weights in a wheel: copied into the bundle by hash, and found again."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace

import pytest

from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256
from evaluator.zoo.bundles import Bundle
from evaluator.zoo.sources import read_sources
from evaluator.zoo.wheel_files import extract_from_wheel
from evaluator.zoo.wheels import ImagePlatform

NETWORK = b"a trained network"


@pytest.fixture
def bundle(tmp_path):
    """deepbet's bundle with a small wheel in place of the published one."""
    sources = read_sources("deepbet")
    assert sources
    weights = sources.weights[0].model_copy(
        update={"sha256": hashlib.sha256(NETWORK).hexdigest(), "bytes": len(NETWORK)}
    )
    made = Bundle(
        model="deepbet",
        root=tmp_path,
        sources=sources.model_copy(update={"weights": (weights,)}),
        image=ImagePlatform(flavour="cpu"),
    )
    made.wheels.mkdir(parents=True)
    wheel = made.wheels / "deepbet-1.0.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr("data/models/bbox_model.pt", NETWORK)
    entry = {"lock": made.lock_sha256, "files": {wheel.name: file_sha256(wheel)}}
    made.note({f"wheels/{made.image.name}": entry})
    return made


def test_a_file_is_copied_recorded_and_checked(bundle):
    (source,) = bundle.sources.weights
    extract_from_wheel(bundle, source)
    assert (bundle.weights / "bbox_model.pt").read_bytes() == NETWORK
    assert bundle.record()["weights/bbox_model.pt"]["from"] == (
        "deepbet-1.0.2-py3-none-any.whl: data/models/bbox_model.pt"
    )
    assert bundle.weight_hashes(["weights"]) == {"bbox_model.pt": source.sha256}
    (bundle.weights / "bbox_model.pt").write_bytes(b"changed")
    with pytest.raises(ModelFilesError, match="was changed"):
        bundle.weight_hashes(["weights"])
    extract_from_wheel(bundle, source)
    assert bundle.weight_hashes(["weights"]) == {"bbox_model.pt": source.sha256}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "expected was 0000"),
        ({"path": "data/models/none.pt"}, "does not contain data/models/none.pt"),
    ],
)
def test_another_file_is_refused(bundle, change, message):
    source = bundle.sources.weights[0].model_copy(update=change)
    with pytest.raises(ModelFilesError, match=message):
        extract_from_wheel(replace(bundle), source)
    assert not (bundle.weights / "bbox_model.pt").exists()
