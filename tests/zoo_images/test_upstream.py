"""Our pipelines beside upstream's, with the same random weights, inside the models' own images.

What upstream needs beside the image (torchio at the version its code wants) is collected by hash and mounted. The
comparison with upstream's own functions, which no index has, is in docs/decisions/0071.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator import places
from evaluator.build import ImageOrder, ensure_image, find_model
from evaluator.build.variants import Weights
from evaluator.build.wheels import ImagePlatform, collect_wheels, unpack_wheels
from tests.tiny import ROOT

HERE = Path(__file__).parent / "upstream"


@pytest.fixture(scope="session")
def torchio() -> Path:
    """torchio 0.20.23 and what it needs beside torch, numpy, scipy and SimpleITK."""
    folder = places.cache() / "upstream" / "torchio"
    if not (folder / "torchio").is_dir():
        image = ImagePlatform(flavour="cpu")
        wheels = folder.with_name("wheels")
        wheels.mkdir(parents=True, exist_ok=True)
        unpack_wheels(collect_wheels(HERE / "torchio.lock", (), image, wheels), image, folder)
    return folder


def run_inside(engine, image: str, script: str, site: Path) -> list[dict[str, object]]:
    """The JSON lines that a script prints, run in a model's image on this checkout, without a network."""
    built = ensure_image(
        find_model(image), ImageOrder(weights=Weights(kind="random", size="small")), say=lambda _: None
    )
    command = [f"/repo/tests/zoo_images/upstream/{script}", "small"]
    told = engine.client.containers.run(
        built.reference,
        command,
        entrypoint=["python3"],
        environment={
            "PYTHONPATH": "/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages:/site",
            "HOME": "/tmp",
        },
        volumes={str(ROOT): {"bind": "/repo", "mode": "ro"}, str(site): {"bind": "/site", "mode": "ro"}},
        network_mode="none",
        remove=True,
    )
    return [json.loads(line) for line in told.decode().splitlines() if line.startswith("{")]


def test_sam_med3d(docker_engine, torchio, figures):
    """Lattice and clicks equal; input to 1e-4, or one grey value where whole numbers are cut; masks but for rounding.

    Half-way between two voxels of the network's lattice rounding noise decides which one ITK takes; such voxels of the
    image are left out of the last comparison, and counted.
    """
    found = run_inside(docker_engine, "sam-med3d", "sam_med3d.py", torchio)
    assert len(found) == 12
    for one in found:
        figures.append(f"sam-med3d beside upstream, {one}")
        assert one["lattice"]
        assert one["affine"] < 1e-4
        assert one["input"] < 1e-4 + 1.5 * one["grey_value"]
        assert one["logits"] < 1e-3
        assert one["mask_differs"] <= 1e-3 * one["mask_voxels"]
        assert one["back_differs_off_ties"] <= 1e-3 * one["back_voxels"]
        assert one["back_differs"] <= 0.1 * one["back_voxels"]
