"""Prompts and clicks are recorded with their hash and replayed for other models."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from evaluator.challenges.cvpr25 import challenge_totals
from evaluator.errors import UserError
from evaluator.files import read_json
from tests.conftest import order
from tests.docker.test_interaction import MODEL, models
from tests.tiny import make_dataset

SEES_TEXT = """
import numpy as np
from zoo_sdk import Prediction

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        masks = {t.name: np.zeros(request.grid.shape, np.uint8) for t in request.targets}
        return Prediction(masks, notes={t.name: t.text for t in request.targets})
"""


@pytest.fixture
def data(project, tmp_path):
    project(models() | {"reads": SEES_TEXT})
    return make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"), ("liver", "spleen"))


def run_local(model, data, protocol, **more):
    return order(model, data, protocol, engine="local", **more)


@pytest.mark.parametrize("kind", ["prompts", "clicks"])
def test_changed_prompts_and_clicks_are_not_replayed(data, kind):
    first = run_local("paints", data, "box-clicks-5-shared")
    if kind == "prompts":
        path = first.prompts_path("a.a")
        body = read_json(path)
        body["prompts"]["CT"]["0"]["liver"]["box"]["low"][0] += 1
    else:
        path = first.record_path("a.a", "CT")
        body = read_json(path)
        body["rounds"][1]["added"]["liver"][0]["index"][0] += 1
    path.write_text(json.dumps(body))
    with pytest.raises(UserError, match="changed since"):
        run_local("empty", data, "box-clicks-5-shared", prompts=first.name)


def test_the_clicks_of_a_run_are_replayed_for_a_second_model(data, project, tmp_path):
    first = run_local("paints", data, "box-clicks-5-shared")
    second = run_local("empty", data, "box-clicks-5-shared", prompts=first.name)
    for case in ("a.a", "b.a"):
        assert added_prompts(first, case) == added_prompts(second, case)
        assert len(added_prompts(first, case)) == 6
    assert first.info().identity.prompts == "drawn"
    assert len(second.info().identity.prompts) == 64


def added_prompts(run, case):
    """Prompts that each round of the CT added."""
    return [entry.added for entry in run.record(case, "CT").rounds]


def test_the_first_available_image_sets_the_shared_clicks(data, tmp_path):
    (tmp_path / "data" / "a_CT_image.nii.gz").unlink()
    run = run_local("paints", data, "box-clicks-5-shared", force=True)
    states = {m: run.record("a.a", m).state for m in ("CT", "MR", "PT")}
    assert states == {"CT": "not-run", "MR": "done", "PT": "done"}
    for modality in ("MR", "PT"):
        added = [entry.added for entry in run.record("a.a", modality).rounds]
        assert len(added) == 6
        assert all(points["liver"] for points in added[1:])


def test_a_model_that_cannot_be_refined_gets_each_round_in_one_batch(project, tmp_path, messages):
    """The model starts once for each round of all scans; its log has a line for each start."""
    body = MODEL.replace(
        "self.before = None", "import sys; print('LOADED', file=sys.stderr); self.before = None"
    )
    project({"one-round": body.replace("BODY", "return np.zeros_like(seen)")}, rounds="one")
    data = make_dataset(tmp_path / "data", ["a", "b", "c"], ("CT", "PT"))
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig

    run = run_model(
        RunConfig(
            model="one-round",
            dataset=str(data),
            protocol="clicks-10",
            engine="local",
            recheck=0,
        ),
        progress=lambda *_: None,
    )
    assert any(
        "cannot be refined: each round of all scans goes to it in one batch" in line
        for line in messages
    )
    assert (run.path / "model.log").read_text().count("LOADED") == 10
    assert sum(len(record.rounds) for record in run.records()) == 6 * 10
    # a protocol with a single round uses the session of the card
    single = order("one-round", data, "point-1", engine="local")
    assert (single.path / "model.log").read_text().count("LOADED") == 1


def test_text_prompts_use_the_texts_of_the_card(project, tmp_path):
    project({"reads": SEES_TEXT}, prompts="text", texts="liver=hepatic tissue")
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen"))
    run = order("reads", data, "robust-text", engine="local")
    for record in run.records():
        prompts = run.prompts(record.case).scan(record.modality).prompts
        texts = [entry.reply.notes for entry in record.rounds]
        assert texts[0] == {"liver": "hepatic tissue", "spleen": "spleen"}
        # only these two organs exist
        assert texts[1:] == [{"liver": "spleen", "spleen": "hepatic tissue"}] * 3
        assert prompts[0]["liver"].text == "liver"  # every model has the same prompts
        swapped = prompts[1]["spleen"]
        assert (swapped.text, swapped.text_of) == ("liver", "liver")


def test_points_outside_reach_the_model_as_foreground(data):
    run = run_local("paints", data, "robust-outside")
    for record in run.records():
        prompts = run.prompts(record.case).scan(record.modality).prompts
        for target in ("liver", "spleen"):
            assert all(prompts[seed][target].points[0].foreground for seed in range(7))
        dice = pd.read_csv(run.path / "scores.csv").query(
            "case == @record.case and modality == @record.modality and metric == 'dice'"
        )
        # the model paints only the point: the score is above 0 inside the organ and 0 outside
        assert (dice.query("seed == 0")["value"] > 0).all()
        assert (dice.query("seed > 0")["value"] == 0).all()


def test_challenge_totals_equal_those_of_the_published_script(data):
    run = run_local("crashes", data, "cvpr25")
    assert {total["modality"] for total in challenge_totals(run)} == {"CT", "MR", "PT"}
    for total in challenge_totals(run):
        assert (total["dsc_auc"], total["nsd_auc"], total["dsc_final"], total["n"]) == (
            0.0,
            0.0,
            0.0,
            2,
        )
    run = run_local("paints", data, "cvpr25")
    frame = pd.read_csv(run.path / "scores.csv")
    for total in challenge_totals(run):
        for image in total["images"]:
            rows = frame[(frame.case == image["case"]) & (frame.modality == total["modality"])]
            dice, nsd = (
                rows[rows["metric"] == m].groupby("round")["value"].mean().to_numpy()
                for m in ("dice", "nsd")
            )
            nsd = np.where(dice > 0.2, nsd, 0)
            assert len(dice) == 6
            assert image["dsc_auc"] == pytest.approx(np.trapezoid(dice[1:]), abs=1e-6)
            assert image["nsd_auc"] == pytest.approx(np.trapezoid(nsd[1:]), abs=1e-6)
            assert (image["dsc_final"], image["nsd_final"]) == pytest.approx(
                (dice[-1], nsd[-1]), abs=1e-6
            )
        for name in ("dsc_auc", "nsd_final", "seconds"):
            assert total[name] == pytest.approx(
                np.mean([image[name] for image in total["images"]]), abs=1e-6
            )
    assert challenge_totals(run_local("paints", data, "point-1")) == []


def test_challenge_totals_are_printed(data, tmp_path, capsys):
    from evaluator.cli.show import print_rounds

    run = run_local(
        "perfect", make_dataset(tmp_path / "one", ["a", "b"], ("CT", "MR", "PT")), "cvpr25"
    )
    print_rounds(run, as_json=False)
    text = capsys.readouterr().out
    line = (
        "CVPR 2025, PT, means over 2 images: DSC_AUC 4.000, NSD_AUC 4.000 (at most 4), "
        "DSC_Final 1.000, NSD_Final 1.000"
    )
    assert line in text
    print_rounds(run, as_json=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["modality"] for row in objects if row.get("challenge") == "cvpr25"] == [
        "CT",
        "MR",
        "PT",
    ]
    assert len([row for row in objects if "curve" in row]) == 3
