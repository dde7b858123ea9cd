"""The golden case of a class model with more organs than the usual five, through a real pipeline.

NV-Segment-CTMR's pipeline runs with an ideal network: it knows where the organs of a synthetic CT
are, and looks whether they are there.
"""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.evaluation.golden import run_golden
from evaluator.evaluation.run_config import RunConfig
from evaluator.imaging.geometry import make_grid
from evaluator.volumes import write_volume
from evaluator.zoo import find_model
from evaluator.zoo.preflight.expectations import read_expectations
from tests.tiny import ROOT

GRID = make_grid((40, 34, 30), [[-3, 0, 0, 58], [0, 0, -3.5, 50], [0, 3, 0, -50], [0, 0, 0, 1]])
RADIUS = 11.0
#: organ -> centre in RAS mm, and HU; both kidneys look alike
ORGANS = {
    "liver": ((-25, 5, 10), 100),
    "spleen": ((25, -10, 20), 200),
    "kidney-left": ((25, 5, -25), 300),
    "kidney-right": ((-25, 5, -25), 300),
    "aorta": ((0, -10, -5), 400),
    "stomach": ((25, 25, 0), 500),
    "colon": ((-25, -25, -10), 600),
    "lung": ((0, 20, 28), 700),
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
            near = (x - p) ** 2 + (y - q) ** 2 + (z - r) ** 2 <= {(RADIUS + 1.5) ** 2}
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
def example(tmp_path):
    """A synthetic CT with balls, a bright slab at one end, and its manifest."""
    voxels = np.indices(GRID.shape).reshape(3, -1).T
    affine = np.asarray(GRID.affine)
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    labels = np.zeros(len(places), np.uint8)
    values = np.where(places[:, 2] < -42, BRIGHT_HU, 0).astype(np.int16)
    for number, (centre, hu) in enumerate(ORGANS.values(), 1):
        inside = ((places - np.array(centre)) ** 2).sum(axis=1) <= RADIUS**2
        labels[inside], values[inside] = number, hu
    write_volume(tmp_path / "image.nii.gz", values.reshape(GRID.shape), GRID)
    write_volume(tmp_path / "reference.nii.gz", labels.reshape(GRID.shape), GRID)
    names = ";".join(f"{organ}={n}" for n, organ in enumerate(ORGANS, 1))
    (tmp_path / "example.tsv").write_text(
        "subject\tsession\tmodality\timage\treference\tunit\tlabels\n"
        f"s\ta\tCT\timage.nii.gz\treference.nii.gz\tHU\t{names}\n"
    )
    (tmp_path / "example.toml").write_text(
        'name = "example"\ntitle = "Synthetic balls"\nlicense = "CC0-1.0"\ncitation = "none"\n'
        'reference_origin = "generated"\nsynthetic = true\n'
    )
    return tmp_path / "example.toml"


@pytest.fixture
def golden(project, example, monkeypatch, tmp_path):
    def run(*, exchanged: bool):
        text = ADAPTER.replace("@EXCHANGED@", str(exchanged))
        folder = project({"net": text}, prompts="text", inputs="CT", targets="*")
        monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
        floors = "\n".join(f"{organ} = 0.8" for organ in ORGANS)
        (folder / "models" / "net" / "expected.toml").write_text(
            f'[golden]\ndataset = "{example}"\n\n[golden.floors]\n{floors}\n'
        )
        return run_golden(
            find_model("net").card, RunConfig(model="net", dataset="", engine="local")
        )

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
