"""What was asked is recorded with its hash, and asked again: prompts and clicks, of other images and other models."""

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


def ask(model, data, protocol, **more):
    return order(model, data, protocol, engine="local", **more)


@pytest.mark.parametrize("what", ["prompts", "clicks"])
def test_what_was_changed_since_is_not_replayed(data, what):
    first = ask("paints", data, "box-clicks-5-shared")
    if what == "prompts":
        path = first.prompts_path("a.a")
        body = read_json(path)
        body["prompts"]["CT"]["0"]["liver"]["box"]["low"][0] += 1
    else:
        path = first.record_path("a.a", "CT")
        body = read_json(path)
        body["rounds"][1]["added"]["liver"][0]["index"][0] += 1
    path.write_text(json.dumps(body))
    with pytest.raises(UserError, match="changed since"):
        ask("empty", data, "box-clicks-5-shared", prompts=first.name)


def test_another_models_run_gives_its_clicks_even_where_models_differ_in_what_they_take(
    data, project, tmp_path
):
    first = ask("paints", data, "box-clicks-5-shared")
    second = ask("empty", data, "box-clicks-5-shared", prompts=first.name)
    for case in ("a.a", "b.a"):
        clicks = [
            [entry.added for entry in run.record(case, "CT").rounds] for run in (first, second)
        ]
        assert clicks[0] == clicks[1]
        assert len(clicks[0]) == 6
    assert first.info().identity.prompts == "drawn"
    assert len(second.info().identity.prompts) == 64


def test_the_first_image_that_can_be_asked_about_leads(data, tmp_path):
    (tmp_path / "data" / "a_CT_image.nii.gz").unlink()
    run = ask("paints", data, "box-clicks-5-shared")
    states = {m: run.record("a.a", m).state for m in ("CT", "MR", "PT")}
    assert states == {"CT": "not-run", "MR": "done", "PT": "done"}
    for modality in ("MR", "PT"):
        added = [entry.added for entry in run.record("a.a", modality).rounds]
        assert len(added) == 6
        assert all(one["liver"] for one in added[1:])


def test_a_model_that_cannot_be_refined_gets_each_round_in_one_batch(project, tmp_path, messages):
    """One container start for each round of all scans: the model says in its log when it is loaded."""
    body = MODEL.replace(
        "self.before = None", "import sys; print('LOADED', file=sys.stderr); self.before = None"
    )
    project({"one": body.replace("BODY", "return np.zeros_like(seen)")}, rounds="one")
    data = make_dataset(tmp_path / "data", ["a", "b", "c"], ("CT", "PT"))
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig

    run = run_model(
        RunConfig(model="one", dataset=str(data), protocol="clicks-10", engine="local", recheck=0),
        progress=lambda *_: None,
    )
    assert any(
        "cannot be refined: each round of all scans goes to it in one batch" in line
        for line in messages
    )
    assert (run.path / "model.log").read_text().count("LOADED") == 10
    assert sum(len(record.rounds) for record in run.records()) == 6 * 10
    again = order(
        "one", data, "point-1", engine="local"
    )  # one round is asked in the session that it offers
    assert (again.path / "model.log").read_text().count("LOADED") == 1


def test_a_model_is_asked_in_the_words_of_its_card(project, tmp_path):
    project({"reads": SEES_TEXT}, prompts="text", texts="liver=hepatic tissue")
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen"))
    run = order("reads", data, "robust-text", engine="local")
    for record in run.records():
        prompts = run.prompts(record.case).scan(record.modality).prompts
        texts = [entry.reply.notes for entry in record.rounds]
        assert texts[0] == {"liver": "hepatic tissue", "spleen": "spleen"}
        assert (
            texts[1:] == [{"liver": "spleen", "spleen": "hepatic tissue"}] * 3
        )  # there are only these two
        assert prompts[0]["liver"].text == "liver"  # the same prompts for every model
        swapped = prompts[1]["spleen"]
        assert (swapped.text, swapped.text_of) == ("liver", "liver")


def test_points_outside_reach_the_model_as_foreground(data):
    run = ask("paints", data, "robust-outside")
    for record in run.records():
        prompts = run.prompts(record.case).scan(record.modality).prompts
        for target in ("liver", "spleen"):
            assert all(prompts[seed][target].points[0].foreground for seed in range(7))
        dice = pd.read_csv(run.path / "scores.csv").query(
            "case == @record.case and modality == @record.modality and metric == 'dice'"
        )
        # the painter paints the point alone: inside the organ it scores, outside it does not
        assert (dice.query("seed == 0")["value"] > 0).all()
        assert (dice.query("seed > 0")["value"] == 0).all()


def test_the_challenges_totals_are_its_scripts(data):
    run = ask("crashes", data, "cvpr25")
    assert {total["modality"] for total in challenge_totals(run)} == {"CT", "MR", "PT"}
    for total in challenge_totals(run):
        assert (total["dsc_auc"], total["nsd_auc"], total["dsc_final"], total["n"]) == (
            0.0,
            0.0,
            0.0,
            2,
        )
    run = ask("paints", data, "cvpr25")
    frame = pd.read_csv(run.path / "scores.csv")
    for total in challenge_totals(run):
        for image in total["images"]:
            own = frame[(frame.case == image["case"]) & (frame.modality == total["modality"])]
            dice, nsd = (
                own[own["metric"] == m].groupby("round")["value"].mean().to_numpy()
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
    assert challenge_totals(ask("paints", data, "point-1")) == []


def test_the_challenges_totals_are_shown(data, tmp_path, capsys):
    from evaluator.cli.show import print_rounds

    run = ask("perfect", make_dataset(tmp_path / "one", ["a", "b"], ("CT", "MR", "PT")), "cvpr25")
    print_rounds(run, as_json=False)
    told = capsys.readouterr().out
    assert (
        "CVPR 2025, PT, 2 images: DSC_AUC 4.000, NSD_AUC 4.000 (at most 4), DSC_Final 1.000, NSD_Final 1.000"
        in told
    )
    print_rounds(run, as_json=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [o["modality"] for o in objects if o.get("challenge") == "cvpr25"] == ["CT", "MR", "PT"]
    assert len([o for o in objects if "curve" in o]) == 3
