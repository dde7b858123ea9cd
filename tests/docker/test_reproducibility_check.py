"""A run repeats some requests, alone and in a batch, and reports a model that keeps state."""

from __future__ import annotations

import json

import pytest

from evaluator.analysis.summary import summarise
from evaluator.runs.reproducibility import describe_reproducibility, read_verdict
from evaluator.runs.reproducibility_records import Differences
from evaluator.runs.tables import read_scores
from tests.conftest import order
from tests.docker.test_interaction import MODEL
from tests.tiny import make_dataset

BODIES = {
    "perfect": "return seen",
    # correct for the first request, then empty
    "tires": "self.before = (self.before or 0) + 1\n"
    "        return seen if self.before == 1 else np.zeros_like(seen)",
    # inverts a random voxel
    "dices": "mask = seen.copy()\n"
    "        mask.flat[int.from_bytes(os.urandom(4), 'big') % mask.size] ^= True\n"
    "        return mask",
    # reports an error at its fourth and later requests
    "fails": "self.before = (self.before or 0) + 1\n"
    "        if self.before >= 4: raise RuntimeError('tired')\n"
    "        return seen",
    # exits at its fourth request, and works again in a new container
    "dies": "self.before = (self.before or 0) + 1\n"
    "        if self.before == 4: os._exit(5)\n"
    "        return seen",
}


@pytest.fixture
def run(project, tmp_path):
    project({name: MODEL.replace("BODY", body) for name, body in BODIES.items()})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))

    def measure(model, protocol="point-1", engine="local", **more):
        return order(model, data, protocol, engine=engine, **({"recheck": 2} | more))

    return measure


@pytest.mark.parametrize(
    "protocol", ["point-1", "clicks-10", pytest.param("robust-point", marks=pytest.mark.extended)]
)
def test_a_model_without_state_gives_equal_masks_in_all_modes(run, protocol):
    finished = run("perfect", protocol)
    result = finished.reproducibility()
    assert result.verdict == "equal"
    assert result.mode == "session"
    assert len(result.scans) == 2
    assert (result.scans[0].case, result.scans[0].modality) != ("a.a", "CT")
    assert result.masks == 2
    assert result.differences == {mode: Differences(count=0) for mode in ("alone", "batch")}
    assert "2 scans were predicted again" in describe_reproducibility(finished)
    assert {entry["reproducibility"] for entry in summarise(finished)} == {"equal"}


@pytest.mark.docker
@pytest.mark.parametrize("batch", [False, True], ids=["session", "batch"])
def test_a_model_that_keeps_state_is_reported(run, engine_name, batch):
    finished = run("tires", engine=engine_name, batch=batch)
    result = finished.reproducibility()
    assert result.verdict == "keeps-state"
    # neither was the first request of the run; each is the first when it is alone
    assert result.differences["alone"].count == 2
    first = result.differences["alone"].first[0]
    assert (first.case, first.modality) != ("a.a", "CT")
    assert first.round == 0
    assert first.dice == 0.0
    # a batch of two has a single first request
    assert result.differences["batch"].count == 1
    text = describe_reproducibility(finished)
    assert text.startswith("MODEL tires KEEPS STATE BETWEEN CASES")
    assert "liver, round 0: Dice 0.000" in text
    assert {entry["reproducibility"] for entry in summarise(finished)} == {"keeps-state"}


@pytest.mark.docker
def test_the_curves_of_a_model_that_keeps_state_follow_its_state(run, engine_name):
    """The first scan is perfect and ends at once; all later scans are empty in every round."""
    frame = read_scores(run("tires", "clicks-10", engine=engine_name, recheck=0))
    dice = frame[frame["metric"] == "dice"]
    assert set(dice.status) == {"ok"}
    curves = {key: list(group["value"]) for key, group in dice.groupby(["case", "modality"])}
    assert curves == {
        ("a.a", "CT"): [1.0],
        ("a.a", "PT"): [0.0] * 10,
        ("b.a", "CT"): [0.0] * 10,
        ("b.a", "PT"): [0.0] * 10,
    }


def test_a_random_model_is_reported_as_not_deterministic(run):
    finished = run("dices")
    assert read_verdict(finished) == "not-deterministic"
    assert "IS NOT DETERMINISTIC" in describe_reproducibility(finished)


def test_a_failure_that_depends_on_earlier_requests_is_a_difference(run):
    finished = run("fails", recheck=3)
    result = finished.reproducibility()
    assert result.verdict == "keeps-state"
    (difference,) = result.differences["alone"].first
    assert (difference.status, difference.repeated_status) == ("error", "ok")
    assert "error, then ok" in describe_reproducibility(finished)


def test_a_crash_that_does_not_repeat_is_called_flaky(run):
    from evaluator.runs.tables import read_predictions

    finished = run("dies", recheck=0)
    flaky = [entry for record in finished.records() for entry in record.rounds if entry.attempts]
    assert len(flaky) == 1
    assert flaky[0].is_flaky
    assert flaky[0].attempts[0].status == "crashed"
    frame = read_predictions(finished)
    assert set(frame["status"]) == {"ok"}
    assert frame["detail"].str.startswith("flaky: the model ended with exit code 5").sum() == 1


SEEDS = {
    # paints a voxel more under each further seed of a scan
    "seeds": "self.before = (self.before or 0) + 1\n"
    "        seen = seen.copy()\n"
    "        seen.flat[:self.before] = True\n"
    "        return seen",
}


def test_state_that_grows_over_the_seeds_of_a_scan_is_found(project, tmp_path):
    """Repeating the first seed alone would give the same masks."""
    project({name: MODEL.replace("BODY", body) for name, body in SEEDS.items()})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    finished = order("seeds", data, "robust-point", engine="local", recheck=1)
    result = finished.reproducibility()
    assert result.verdict == "keeps-state"
    assert result.scans[0].seed != finished.info().protocol.seeds[0]


def test_scans_are_drawn_by_the_salt_and_keep_their_numbers(run):
    from evaluator.datasets import load_dataset
    from evaluator.evaluation.reproducibility_check import choose_scans

    finished = run("perfect", recheck=0)
    cases = load_dataset(finished.info().dataset_source).cases
    drawn = set()
    for salt in range(40):
        (scan,) = choose_scans(finished, cases, 1, str(salt))
        assert scan == choose_scans(finished, cases, 1, str(salt))[0]
        drawn.add((scan.case.id, scan.modality, scan.number))
    assert drawn == {("a.a", "PT", 1), ("b.a", "CT", 2), ("b.a", "PT", 3)}


def test_the_check_runs_once_and_can_be_omitted(run):
    unchecked = run("perfect", recheck=0)
    assert not (unchecked.path / "reproducibility.json").exists()
    assert read_verdict(unchecked) == "not-checked"
    assert describe_reproducibility(unchecked).startswith("Not checked")
    finished = run("perfect", recheck=3)
    path = finished.path / "reproducibility.json"
    before = path.stat().st_mtime_ns
    assert len(json.loads(path.read_text())["scans"]) == 3
    assert run("perfect", recheck=3).path == finished.path
    assert path.stat().st_mtime_ns == before


def test_the_table_names_the_model_that_keeps_state(run, capsys):
    from evaluator.cli.show import print_rounds, print_table

    finished = run("tires", "clicks-10")
    print_table(finished)
    print_rounds(finished, as_json=False)
    assert capsys.readouterr().out.count("MODEL tires KEEPS STATE BETWEEN CASES") == 2


def test_a_model_without_masks_to_compare_is_not_checked(run):
    # the card does not support scribbles, so no request was sent
    finished = run("perfect", "scribble-5")
    assert read_verdict(finished) == "not-checked"
