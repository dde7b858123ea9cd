"""The golden case: an ideal adapter passes, and each classic fault of an adapter is caught."""

from __future__ import annotations

import pytest

from evaluator.analysis.run_header import header
from evaluator.imaging.geometry import make_grid
from evaluator.zoo.conformance.golden_record import golden_state, write_golden
from tests.golden_balls import ORGANS, run_example, write_example

#: flipped, permuted, anisotropic, three different sizes
GRID = make_grid((30, 26, 34), [[0, 0, -3, 51], [-2.5, 0, 0, 36], [0, 4, 0, -50], [0, 0, 0, 1]])
#: finds organs by their HU, kidneys by the side of the world, and by a click the organ under it
ADAPTER = """
import numpy as np
from scipy import ndimage
from zoo_sdk import read_image

HU = {{"liver": 100, "spleen": 200, "kidney-left": 300, "kidney-right": 300, "aorta": 400}}

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        image = read_image(request)
        values, affine = image.array {offset}, np.asarray(image.affine)
        i, j, k = np.indices(values.shape)
        x = {x}
        masks = {{}}
        for target in request.targets:
            name = {name}
            mask = np.abs(values - HU.get(name, 1e9)) < 40
            if target.points:
                index = {index}
                parts, _ = ndimage.label(np.abs(values - values[index]) < 40)
                mask = (parts == parts[index]) & (values[index] > 50)
            elif name.startswith("kidney"):
                mask &= (x < 0) == (name == "kidney-left")
            masks[target.name] = mask
        return masks
"""
PARTS = {
    "offset": "",
    # RAS+: the left is at negative x
    "x": "affine[0, 0] * i + affine[0, 1] * j + affine[0, 2] * k + affine[0, 3]",
    "name": "target.name",
    "index": "tuple(target.points[0].index)",
}
FAULTS = {
    "ideal": {},
    # the adapter forgets the header and takes a voxel axis for left and right
    "ignores-header": {"x": "k - 17.0"},
    # the adapter scales to a window that is not that of HU
    "wrong-hu": {"offset": "+ 1024"},
    # two labels are exchanged
    "wrong-label": {"name": '{"liver": "spleen", "spleen": "liver"}.get(target.name, target.name)'},
    # the adapter standardises by itself, so that an offset does not hurt it: allowed for some
    "any-offset": {"offset": "- np.median(image.array)"},
    # axes of clicks are reversed
    "wrong-axes": {
        "index": "tuple(min(n, s - 1) for n, s in zip(target.points[0].index[::-1], values.shape))"
    },
    # the adapter takes the largest organ whatever the click
    "ignores-clicks": {
        "index": "tuple(np.unravel_index(abs(values - 100).argmin(), values.shape))"
    },
}


@pytest.fixture
def golden(project, monkeypatch, tmp_path):
    example = write_example(tmp_path, GRID, ORGANS)

    def run(fault: str, *, clicks: bool = False):
        text = ADAPTER.format(**(PARTS | FAULTS[fault]))
        prompts = "point" if clicks else ""
        folder = project({"net": text}, prompts=prompts, inputs="CT", targets=",".join(ORGANS))
        monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
        return run_example(folder, example, "fixed_window = true")

    return run


def failed(outcome) -> list[str]:
    return [result.check for result in outcome.checks if not result.ok]


def test_an_ideal_adapter_passes(golden):
    outcome = golden("ideal")
    assert failed(outcome) == []
    assert [result.check for result in outcome.checks] == [
        *(f"{organ} on CT" for organ in sorted(ORGANS)),
        "control: header flipped left to right: kidneys",
        "control: 1024 HU too much",
    ]


@pytest.mark.extended
def test_an_ideal_adapter_with_clicks_passes(golden):
    outcome = golden("ideal", clicks=True)
    assert failed(outcome) == []
    assert outcome.checks[-1].check == "control: clicks 20 mm outside of the organ"


@pytest.mark.parametrize(
    ("fault", "clicks", "expected"),
    [
        ("ignores-header", False, "control: header flipped left to right: kidneys"),
        pytest.param("wrong-hu", False, "liver on CT", marks=pytest.mark.extended),
        pytest.param("wrong-label", False, "spleen on CT", marks=pytest.mark.extended),
        pytest.param("wrong-axes", True, "liver on CT", marks=pytest.mark.extended),
        ("ignores-clicks", True, "spleen on CT"),
    ],
)
def test_each_classic_fault_is_caught(golden, fault, clicks, expected):
    assert expected in failed(golden(fault, clicks=clicks))


@pytest.mark.extended
def test_an_offset_that_changes_nothing_is_caught_where_the_window_is_fixed(golden):
    assert failed(golden("any-offset")) == ["control: 1024 HU too much"]


def test_the_result_belongs_to_weights_of_these_hashes(project):
    project({"net": ""})
    assert golden_state("net", {"w": "1"}) == "not run"
    checks = [{"check": "liver on CT", "ok": True, "detail": "Dice 0.95"}]
    more = {"weights": "published", "image": "x"}
    write_golden("net", sha256={"w": "1"}, checks=checks, **more)
    assert golden_state("net", {"w": "1"}) == "passed"
    assert golden_state("net", {"w": "2"}) == "not run"
    assert golden_state("net", {}) == "not run"
    write_golden("net", sha256={"w": "1"}, checks=[{**checks[0], "ok": False}], **more)
    assert golden_state("net", {"w": "1"}) == "failed"


def test_a_run_without_weights_says_nothing_of_a_golden_case(golden):
    assert not any("golden case" in line for line in header(golden("ideal").run))
