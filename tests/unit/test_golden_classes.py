"""The golden case of a class model with more organs than the usual five, through a real pipeline.

NV-Segment-CTMR's pipeline runs with an ideal network: it knows where the organs of a synthetic CT
are, and looks whether they are there.
"""

from __future__ import annotations

import pytest

from evaluator.imaging.geometry import make_grid
from evaluator.zoo.preflight.expectations import read_expectations
from tests.golden_balls import ORGANS as BALLS
from tests.golden_balls import RADIUS_MM, run_example, write_example
from tests.tiny import ROOT

GRID = make_grid((40, 34, 30), [[-3, 0, 0, 58], [0, 0, -3.5, 50], [0, 3, 0, -50], [0, 0, 0, 1]])
ORGANS = BALLS | {
    "stomach": ((25, 25, 0), 500),
    "colon": ((-25, -25, -10), 600),
    "lung": ((0, -20, 28), 700),
}
BRIGHT_HU = 1000

ADAPTER = f"""
import sys
sys.path[:0] = [{str(ROOT / "models/nv-segment-ctmr")!r}, {str(ROOT / "models/vista3d")!r}]
import numpy as np
from ctmr_labels import numbers
from pipeline import OPTIONS, predict
from zoo_sdk import choose_options, read_image

ORGANS = {ORGANS!r}
CENTRES = {{n: v for name, v in ORGANS.items() for n in numbers(name)}}
if @EXCHANGED@:
    CENTRES[3], CENTRES[12] = CENTRES[12], CENTRES[3]

class Network:
    def classes(self, patch, ids):
        i, j, k = np.indices(patch.array.shape, sparse=True)
        a = patch.affine
        x, y, z = (a[n, 0] * i + a[n, 1] * j + a[n, 2] * k + a[n, 3] for n in range(3))
        logits = []
        for n in ids:
            (p, q, r), hu = CENTRES.get(n, ((999, 999, 999), 1))
            near = (x - p) ** 2 + (y - q) ** 2 + (z - r) ** 2 <= {(RADIUS_MM + 1.5) ** 2}
            there = near & (patch.array > hu / {BRIGHT_HU} / 2)
            logits.append(np.where(there, np.float32(2), np.float32(-2)))
        return logits

class Adapter:
    def setup(self):
        self.network = Network()

    def predict(self, request):
        options = choose_options(request, OPTIONS)
        return predict(read_image(request), request, self.network, options)
"""


@pytest.fixture
def golden(project, monkeypatch, tmp_path):
    example = write_example(tmp_path, GRID, ORGANS, slab=(-42, BRIGHT_HU))

    def run(*, exchanged: bool):
        text = ADAPTER.replace("@EXCHANGED@", str(exchanged))
        folder = project({"net": text}, prompts="text", inputs="CT", targets="*")
        monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
        floors = "\n".join(f"{organ} = 0.8" for organ in ORGANS)
        return run_example(folder, example, f"\n[golden.floors]\n{floors}")

    return run


def test_eight_organs_pass_by_class_and_the_kidneys_swap(golden):
    outcome = golden(exchanged=False)
    assert [result.check for result in outcome.checks if not result.ok] == []
    assert [result.check for result in outcome.checks] == [
        *(f"{organ} on CT" for organ in sorted(ORGANS)),
        "control: header flipped left to right: kidneys",
    ]


def test_a_network_with_an_exchanged_number_is_caught(golden):
    # the spleen's number has the stomach's place, so that the spleen is sought there
    outcome = golden(exchanged=True)
    failed = [result.check for result in outcome.checks if not result.ok]
    assert failed == ["spleen on CT", "stomach on CT"]


def test_the_floors_of_the_real_example_name_more_than_the_usual_organs():
    golden = read_expectations("nv-segment-ctmr").golden
    assert golden
    assert len(golden.floors) == 12
    assert {"stomach", "colon", "pancreas", "lung"} <= golden.floors.keys()
