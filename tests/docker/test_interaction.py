"""A simulated user corrects models of defined behaviour: curves and statuses are as expected."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evaluator.datasets import load_dataset
from evaluator.datasets.references import load_references
from evaluator.runs.tables import read_scores
from evaluator.zoo.conformance.checks import check_model
from tests.conftest import order
from tests.tiny import make_dataset

MODEL = """
import os
import numpy as np
from zoo_sdk import Unsupported, each_target, read_image, read_mask

class Adapter:
    def setup(self):
        self.before = None

    def predict(self, request):
        seen = read_image(request).array > 25  # the image shows the organ as it is
        return each_target(request, lambda target: self.answer(request, target, seen))

    def answer(self, request, target, seen):
        if not target.points and target.box is None:
            return Unsupported("needs a prompt")
        BODY
"""
BODIES = {
    "perfect": "return seen",
    "empty": "return np.zeros_like(seen)",
    "inverted": "return ~seen",
    "ignores": "mask = np.zeros_like(seen); mask[tuple(target.points[0].index)] = 1; return mask",
    "crashes": "if request.round == 3: os._exit(7)\n        return np.zeros_like(seen)",
    "paints": "mask = np.zeros_like(seen)\n"
    "        if target.previous: mask = read_mask(target.previous, request.grid)\n"
    "        for point in target.points: mask[tuple(point.index)] = point.foreground\n"
    "        return mask",
    "remembers": "mask = np.zeros_like(seen)\n"
    "        if self.before is not None and self.before.shape == seen.shape: mask = self.before\n"
    "        self.before = mask | seen\n"
    "        return mask",
}


def models():
    return {name: MODEL.replace("BODY", body) for name, body in BODIES.items()}


def curve(frame):
    """Value and status in each round; the value is None where the table has none."""
    return [
        (None if row.value is None or np.isnan(row.value) else float(row.value), row.status)
        for row in frame.itertuples()
    ]


@pytest.fixture
def curves(project, tmp_path, engine_name):
    project(models())
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))

    def measure(model, **more):
        run = order(model, data, "clicks-10", engine=engine_name, **more)
        frame = read_scores(run)
        dice = frame[frame["metric"] == "dice"]
        dice = dice.astype({"value": "float64"})
        table = {modality: curve(group) for modality, group in dice.groupby("modality")}
        reasons = {
            record.modality: record.stop_reasons[0]["liver"].reason for record in run.records()
        }
        return table, reasons, run

    return measure


def reference_sizes(run):
    """Voxel count of the liver's reference in each modality."""
    scans = load_dataset(run.info().dataset_source).cases[0].scans
    return {name: load_references(scan).masks["liver"].voxel_count for name, scan in scans.items()}


@pytest.mark.docker
def test_a_perfect_model_gets_a_single_request(curves):
    table, reasons, _ = curves("perfect")
    assert table == {"CT": [(1.0, "ok")], "PT": [(1.0, "ok")]}
    assert reasons == {"CT": "no-error", "PT": "no-error"}


@pytest.mark.docker
@pytest.mark.parametrize("model", ["empty", "inverted"])
def test_models_that_never_improve_use_all_rounds(curves, model):
    table, reasons, _ = curves(model)
    assert table == {modality: [(0.0, "ok")] * 10 for modality in ("CT", "PT")}
    assert set(reasons.values()) == {"all-rounds"}


@pytest.mark.docker
def test_a_model_that_ignores_corrections_has_a_constant_score(curves):
    table, reasons, run = curves("ignores")
    for modality, voxels in reference_sizes(run).items():
        # each prediction is a single voxel of the organ
        assert table[modality] == [(pytest.approx(2 / (voxels + 1)), "ok")] * 10
        assert reasons[modality] == "all-rounds"


@pytest.mark.docker
@pytest.mark.parametrize("batch", [False, True], ids=["session", "batch"])
def test_a_crash_at_round_three_does_not_repeat_an_older_mask(curves, batch):
    table, _, run = curves("crashes", batch=batch)
    for modality in ("CT", "PT"):
        assert table[modality] == [(0.0, "ok")] * 3 + [(None, "crashed")] + [(0.0, "ok")] * 6
    for record in run.records():
        third, fourth = record.rounds[3:5]
        assert third.targets["liver"].mask is None
        # round 4 has no new click
        assert third.targets["liver"].interactions == fourth.targets["liver"].interactions


@pytest.mark.docker
def test_every_click_of_the_painting_model_improves_the_score(curves):
    table, _, run = curves("paints")
    for modality, voxels in reference_sizes(run).items():
        # each click adds a voxel of the organ
        assert table[modality] == [
            (pytest.approx(2 * n / (voxels + n)), "ok") for n in range(1, 11)
        ]
    for record in run.records():
        assert [entry.targets["liver"].interactions for entry in record.rounds] == list(
            range(1, 11)
        )


@pytest.mark.docker
def test_the_check_detects_a_model_that_keeps_state(project, engine_name):
    project(models())
    results = {
        result.check: result.ok for result in check_model("remembers", engine_name, large=False)[1]
    }
    assert results["session equals batch"] is True  # the same order, the same state
    assert results["repeated requests get equal masks, whatever the order of requests"] is False
    assert all(result.ok for result in check_model("perfect", engine_name, large=False)[1])


SHARED = """
id = "shared-clicks"
title = "Three clicks, the same for all"
description = "A protocol for this test."
metrics = ["dice"]
failures_count_as = "worst"
distance_cap_mm = 500.0

[prompts]
kinds = ["point"]

[rounds]
count = 4
correction = "largest-error-click"
clicks = "shared"
previous_mask = true
"""


@pytest.mark.docker
def test_shared_clicks_are_equal_in_every_modality_and_for_every_model(
    project, tmp_path, engine_name
):
    project(models())
    (tmp_path / "shared-clicks.toml").write_text(SHARED)
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"))
    first = order("paints", data, str(tmp_path / "shared-clicks.toml"), engine=engine_name)
    second = order(
        "empty", data, str(tmp_path / "shared-clicks.toml"), engine=engine_name, prompts=first.name
    )
    for run in (first, second):
        clicks = {}
        for record in run.records():
            added = [entry.added.get("liver", ()) for entry in record.rounds]
            clicks.setdefault(record.case, {})[record.modality] = [
                point.ras_mm for point in itertools.chain.from_iterable(added)
            ]
        for case in clicks.values():
            assert len(case["CT"]) == 3
            for modality in ("MR", "PT"):
                assert len(case[modality]) == 3
                # the positions differ by the voxel size and by the distance to the nearest inside
                assert np.abs(np.array(case[modality]) - case["CT"]).max() < 8
    assert added_prompts(first) == added_prompts(second)


def added_prompts(run):
    """Prompts that each round added, by scan."""
    added = {}
    for record in run.records():
        added[record.case + record.modality] = [entry.added for entry in record.rounds]
    return added


@pytest.mark.docker
def test_prompts_of_a_run_are_replayed(project, tmp_path, engine_name):
    from evaluator.errors import RunConflictError

    project(models())
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))
    first = order("paints", data, "point-1", engine=engine_name)
    second = order("ignores", data, "point-1", engine=engine_name, prompts=first.name)
    assert second.info().replayed_run == first.name
    (first_file,), (second_file,) = (
        list((run.path / "prompts").glob("*.json")) for run in (first, second)
    )
    assert first_file.read_text() == second_file.read_text()
    with pytest.raises(RunConflictError, match="has no prompts of"):
        order("ignores", data, "box", engine=engine_name, prompts=first.name)


@pytest.mark.docker
def test_summary_over_the_rounds(curves):
    from evaluator.analysis.interaction import summarise_rounds

    _, _, run = curves("perfect")
    for entry in summarise_rounds(run):
        assert entry["curve"] == [1.0] * 10
        assert (entry["area"], entry["predictions"], entry["failed_rounds"]) == (1.0, 1, 0)
        assert entry["noc"]["0.90"] == {"clicks": 1, "never": 0}
        assert entry["first_gain"] is None
    table, _, run = curves("crashes")
    for entry in summarise_rounds(run):
        assert entry["curve"] == [0.0] * 10
        assert entry["failed_rounds"] == 1
        # the round after the crash has no new click; a model that never reaches the threshold
        # counts as the ten clicks of the protocol
        assert entry["noc"]["0.80"] == {"clicks": 10, "never": 1}
        assert (entry["first_gain"], entry["instability"]) == (0.0, 0.0)
    table, _, run = curves("paints")
    for entry in summarise_rounds(run):
        values = [value for value, _ in table[entry["modality"]]]
        assert entry["curve"] == pytest.approx(values, abs=1e-6)
        assert entry["area"] == pytest.approx(np.trapezoid(values) / 9, abs=1e-6)
        assert entry["first_gain"] == pytest.approx(values[1] - values[0], abs=1e-6)
        assert entry["seconds"] > 0
