"""Agreement between models: against plain numpy and SimpleITK, and what cannot be compared."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK
from click.testing import CliRunner

import evaluator
from evaluator import paths
from evaluator.analysis.consensus import consensus_of
from evaluator.analysis.model_agreement import agree
from evaluator.cli.main import umd
from evaluator.errors import RunConflictError, UserError
from tests.tiny import PAINTER, make_dataset, make_project

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore

BOX = "mask[tuple(slice(a, b) for a, b in zip(target.box.low, target.box.high))] = 1"
#: a box without its last plane, and a corner of the grid
SHORTER = PAINTER.replace(BOX, BOX.replace("slice(a, b)", "slice(a, max(a + 1, b - 1))"))
ELSEWHERE = PAINTER.replace(BOX, "mask[-1, -1, -1] = 1")
#: no mask for PET
FAILING = PAINTER.replace(
    "def paint(target):", "def paint(target):\n            assert request.grid.shape != (9, 8, 7)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agreement")


@pytest.fixture(scope="module")
def all_runs(folder: Path) -> dict[str, RunStore]:
    """Runs of four models on two subjects, and of one with other prompts and on other data.

    The masks are equal but for a plane, elsewhere, or missing on PET.
    """
    programs = {"full": PAINTER, "shorter": SHORTER, "elsewhere": ELSEWHERE, "failing": FAILING}
    dataset = make_dataset(folder / "data", ["a", "b"])
    other = make_dataset(folder / "other", ["a"], name="other")
    plans = {name: (name, dataset, "box") for name in programs}
    plans |= {"point": ("full", dataset, "point-1"), "other": ("full", other, "box")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMD_CACHE", str(paths.cache()))
        patch.setenv("UMD_PROJECT", str(make_project(folder / "project", programs)))
        patch.setenv("UMD_RUNS", str(folder / "runs"))
        return {
            name: evaluator.run(*plan, engine="local", gpus=(), recheck=0)
            for name, plan in plans.items()
        }


@pytest.fixture
def runs(all_runs: dict[str, RunStore]) -> dict[str, RunStore]:
    return {name: run for name, run in all_runs.items() if name not in ("point", "other")}


def mask(run: RunStore, case: str, modality: str) -> np.ndarray:
    name = run.masks.name(case, modality, seed=0, round_number=0, target="liver")
    return run.masks.read(name)[0] > 0


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_pairs_consensus_and_outliers_are_those_of_plain_numpy(runs) -> None:
    agreement = agree(run.path for run in runs.values())
    pairs = agreement.pairs.set_index(["case", "modality", "model", "other"])
    for case in ("a.a", "b.a"):
        for first, second in combinations(sorted(runs), 2):
            masks = {name: mask(runs[name], case, "CT") for name in (first, second)}
            names = (
                (first, second) if (case, "CT", first, second) in pairs.index else (second, first)
            )
            row = pairs.loc[(case, "CT", *names)]
            assert row["status"] == "ok"
            assert row["dice"] == pytest.approx(dice(*masks.values()), abs=1e-12)
            assert row["model_ml"] == pytest.approx(masks[names[0]].sum() * 2 * 2.5 * 3 / 1000)
            if {first, second} == {"full", "failing"}:
                assert row["nsd"] == 1
    votes = sum(mask(run, "a.a", "CT").astype(int) for run in runs.values())
    consensus = agreement.consensus.set_index(["case", "modality", "model"])
    for name, run in runs.items():
        expected = dice(mask(run, "a.a", "CT"), votes > 2)
        assert consensus.loc[("a.a", "CT", name), "dice"] == pytest.approx(expected, abs=1e-12)
    assert set(agreement.outliers["model"]) == {"elsewhere"}
    row = agreement.outliers.iloc[0]
    assert row["with_others"] == 0
    summary = agreement.summary.set_index(["modality", "model", "other"])
    assert (summary["subjects"].loc["CT"] == 2).all()
    assert agreement.prompts == "all models got the same prompts: box, box"
    assert agreement.warnings == ("tiny is synthetic data",)


def test_a_model_without_a_mask_is_counted_and_not_scored(runs) -> None:
    agreement = agree([run.path for run in runs.values()])
    pairs = agreement.pairs
    of_failing = pairs[(pairs["modality"] == "PT") & (pairs["other"] == "failing")]
    of_failing = (
        of_failing
        if len(of_failing)
        else pairs[(pairs["modality"] == "PT") & (pairs["model"] == "failing")]
    )
    assert set(of_failing["status"]) == {"no mask"}
    assert of_failing["dice"].isna().all()
    consensus = agreement.consensus
    assert set(consensus[consensus["modality"] == "PT"]["masks"]) == {3}
    summary = agreement.summary
    counted = summary[(summary["modality"] == "PT") & summary["dice"].isna()]
    assert (counted["without_dice"] == 2).all()
    assert len(counted) == 3


def test_runs_on_other_data_and_a_single_run_are_refused(all_runs) -> None:
    full = all_runs["full"].path
    with pytest.raises(UserError, match="two models or more"):
        agree([full, full])
    with pytest.raises(RunConflictError, match="on different data") as refusal:
        agree([full, all_runs["other"].path])
    assert "so their masks cannot be compared" in str(refusal.value)


def test_other_prompts_are_told(all_runs) -> None:
    agreement = agree([all_runs["shorter"].path, all_runs["point"].path])
    assert agreement.prompts.startswith("the models got different prompts: ")
    assert "point-1 (point)" in agreement.prompts
    assert agreement.consensus.empty
    assert agreement.outliers.empty


def test_the_command_speaks_of_agreement_and_never_of_accuracy(runs, tmp_path: Path) -> None:
    paths = [str(run.path) for run in runs.values()]
    printed = CliRunner().invoke(umd, ["agree", *paths, "--wide"], catch_exceptions=False)
    assert printed.exit_code == 0
    assert "Agreement between models, not accuracy: no reference is used." in printed.output
    assert "outliers of agreement" in printed.output
    lines = CliRunner().invoke(umd, ["agree", *paths, "--json"]).output.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["table"] for row in rows} == {
        "agreement", "agreement-summary", "agreement-pairs", "agreement-consensus",
        "agreement-outliers",
    }  # fmt: skip
    folder = tmp_path / "tables"
    CliRunner().invoke(umd, ["agree", *paths, "-o", str(folder)], catch_exceptions=False)
    written = {path.name for path in folder.iterdir()}
    assert written == {
        f"agreement-{name}.csv" for name in ("summary", "pairs", "consensus", "outliers")
    }
    staple = CliRunner().invoke(umd, ["agree", *paths, "--consensus", "staple", "--csv"])
    assert staple.exit_code == 0
    assert staple.output.count("agreement") > 4


def test_references_are_not_read(runs, folder: Path) -> None:
    hidden = (folder / "data").rename(folder / "hidden")
    try:
        assert len(agree([run.path for run in runs.values()]).pairs) == 24
    finally:
        hidden.rename(folder / "data")


@pytest.mark.parametrize("seed", range(10))
def test_the_majority_is_that_of_simpleitk_and_staple_lies_between(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.zeros((13, 11, 9), dtype=bool)
    truth[3:10, 2:8, 2:7] = True
    masks = [truth ^ (rng.random(truth.shape) < 0.08) for _ in range(5)]
    images = [SimpleITK.GetImageFromArray(array.astype(np.uint8)) for array in masks]
    votes = SimpleITK.GetArrayFromImage(SimpleITK.LabelVoting(images))
    majority = consensus_of(masks, "majority")
    np.testing.assert_array_equal(majority, votes == 1)
    staple = consensus_of(masks, "staple")
    assert dice(staple, truth) > max(dice(array, truth) for array in masks)
    assert (staple <= np.any(masks, axis=0)).all()
    assert (staple >= np.all(masks, axis=0)).all()


def test_the_consensus_of_equal_masks_is_that_mask() -> None:
    mask = np.random.default_rng(0).random((5, 4, 3)) < 0.5
    for rule in ("majority", "staple"):
        np.testing.assert_array_equal(consensus_of([mask] * 3, rule), mask)
