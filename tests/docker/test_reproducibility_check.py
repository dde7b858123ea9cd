"""A run asks some scans again, alone and in a batch: a model that leaks state between cases is found, and named."""

from __future__ import annotations

import json

import pytest

from evaluator.analysis.summary import summarise
from evaluator.runs.records import Differences
from evaluator.runs.reproducibility import describe_reproducibility, read_verdict
from evaluator.runs.tables import read_scores
from tests.conftest import order
from tests.docker.test_interaction import MODEL
from tests.tiny import make_dataset

BODIES = {
    "perfect": "return seen",
    # right for the first scan that it ever sees, and nothing after it
    "tires": "self.before = (self.before or 0) + 1\n        return seen if self.before == 1 else np.zeros_like(seen)",
    "dices": "mask = seen.copy()\n        mask.flat[int.from_bytes(os.urandom(4), 'big') % mask.size] ^= True\n        return mask",
    # gives up when it is asked for a fourth time
    "dies": "self.before = (self.before or 0) + 1\n        if self.before == 4: os._exit(5)\n        return seen",
}


@pytest.fixture
def run(project, tmp_path):
    project({name: MODEL.replace("BODY", body) for name, body in BODIES.items()})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))

    def measure(model, protocol="point-1", engine="local", **more):
        return order(model, data, protocol, engine=engine, **({"recheck": 2} | more))

    return measure


@pytest.mark.parametrize("protocol", ["point-1", "clicks-10", "robust-point"])
def test_a_clean_model_is_equal_however_it_is_asked(run, protocol):
    made = run("perfect", protocol)
    result = made.reproducibility()
    assert result.verdict == "equal"
    assert result.mode == "session"
    # the last one, and one halfway
    assert [scan.case for scan in result.scans] == ["b.a", "a.a"]
    assert result.masks == 2
    assert result.differences == {mode: Differences(count=0) for mode in ("alone", "batch")}
    assert "2 scans were predicted again" in describe_reproducibility(made)
    assert {entry["reproducibility"] for entry in summarise(made)} == {"equal"}


@pytest.mark.docker
@pytest.mark.parametrize("batch", [False, True], ids=["session", "batch"])
def test_a_model_that_keeps_state_is_named(run, engine_name, batch):
    made = run("tires", engine=engine_name, batch=batch)
    result = made.reproducibility()
    assert result.verdict == "keeps-state"
    # neither was the first of the run, each is the first when alone
    assert result.differences["alone"].count == 2
    first = result.differences["alone"].first[0]
    assert (first.case, first.modality, first.target) == ("b.a", "PT", "liver")
    assert first.round == 0
    assert first.dice == 0.0
    # of two in a batch one is the first
    assert result.differences["batch"].count == 1
    told = describe_reproducibility(made)
    assert told.startswith("MODEL tires KEEPS STATE BETWEEN CASES")
    assert "b.a PT, liver, round 0: Dice 0.000" in told
    assert {entry["reproducibility"] for entry in summarise(made)} == {"keeps-state"}


@pytest.mark.docker
def test_the_curves_of_a_model_that_keeps_state_are_what_its_state_makes_them(run, engine_name):
    """Perfect for the first scan, which ends at once; empty for all that follow, in every round."""
    frame = read_scores(run("tires", "clicks-10", engine=engine_name, recheck=0))
    dice = frame[frame["metric"] == "dice"]
    assert set(dice.status) == {"ok"}
    curves = {key: list(own["value"]) for key, own in dice.groupby(["case", "modality"])}
    assert curves == {
        ("a.a", "CT"): [1.0],
        ("a.a", "PT"): [0.0] * 10,
        ("b.a", "CT"): [0.0] * 10,
        ("b.a", "PT"): [0.0] * 10,
    }


def test_a_model_that_throws_dice_is_told_from_one_that_keeps_state(run):
    made = run("dices")
    assert read_verdict(made) == "not-deterministic"
    assert "IS NOT DETERMINISTIC" in describe_reproducibility(made)


def test_a_failure_that_hangs_on_what_came_before_is_a_difference(run):
    made = run("dies")
    result = made.reproducibility()
    assert result.verdict == "keeps-state"
    (difference,) = result.differences["alone"].first
    assert (difference.status, difference.repeated_status) == ("crashed", "ok")
    assert "crashed, then ok" in describe_reproducibility(made)


def test_it_is_done_once_and_can_be_left_out(run):
    left_out = run("perfect", recheck=0)
    assert not (left_out.path / "reproducibility.json").exists()
    assert read_verdict(left_out) == "not-checked"
    assert describe_reproducibility(left_out).startswith("Not checked")
    made = run("perfect", recheck=3)
    path = made.path / "reproducibility.json"
    before = path.stat().st_mtime_ns
    assert len(json.loads(path.read_text())["scans"]) == 3
    assert run("perfect", recheck=3).path == made.path
    assert path.stat().st_mtime_ns == before


def test_the_table_names_the_model_that_keeps_state(run, capsys):
    from evaluator.cli.show import print_rounds, print_table

    made = run("tires", "clicks-10")
    print_table(made)
    print_rounds(made, as_json=False)
    assert capsys.readouterr().out.count("MODEL tires KEEPS STATE BETWEEN CASES") == 2


def test_a_model_without_an_answer_to_compare_is_not_checked(run):
    made = run("perfect", "scribble-5")  # unsupported by its card: nothing was asked
    assert read_verdict(made) == "not-checked"
