"""Comparison within subgroups: rows of each, one family of tests, and the same figures alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.simulate import simulate_run
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.comparison.output import rows_of
from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.comparison.subgroups import compare_subgroups
from evaluator.analysis.ranking import rank
from evaluator.analysis.subgroup_members import of_subjects
from evaluator.analysis.subgroup_ranking import SUBGROUP_FRAMES, rank_subgroups
from evaluator.analysis.summary import summarise_subgroups
from evaluator.cli.main import umd
from evaluator.errors import ManifestError, UnknownNameError, UserError
from evaluator.files import read_json, write_json
from evaluator.manifests.subject_tables import read_subject_table
from evaluator.report import Options, write_report
from evaluator.runs.results import Results, load
from tests.tiny import make_dataset


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """A simulated run of 12 subjects with PET and CT, of a dataset with a table of subjects."""
    folder = tmp_path_factory.mktemp("subgroups")
    store = simulate_run(folder, "alpha", "box", pet_ct=12, pet_mr=0)
    make_dataset(folder / "data", ["a"])
    body = read_json(store.path / "run.json")
    body["dataset_source"] = str(folder / "data" / "tiny.toml")
    write_json(store.path / "run.json", body)
    subjects = sorted(map(str, load([store]).scores["subject"].unique()))
    lines = ["subject\tsex\tscanner"]
    for number, subject in enumerate(subjects):
        lines.append(f"{subject}\t{'FM'[number % 2]}\t{'n/a' if number < 3 else 'Biograph 64'}")
    (folder / "data" / "tiny.subjects.tsv").write_text("\n".join(lines) + "\n")
    return store, subjects


def results_of(store) -> Results:
    """The results of two targets."""
    results = load([store])
    scores = results.scores[results.scores["target"].isin(["liver", "spleen"])]
    return Results(runs=results.runs, scores=scores, predictions=results.predictions)


def overall(frame):
    return frame[(frame["target"] == ALL_TARGETS) & (frame["failures"] == "counted")]


def test_a_subgroup_has_the_figures_of_its_subjects_alone(run) -> None:
    store, subjects = run
    results = results_of(store)
    rows = overall(compare_subgroups(results, ["sex"]).subgroups)
    assert list(rows["subgroup"]) == ["F", "M"]
    chosen = subjects[::2]
    part = Results(
        runs=results.runs,
        scores=results.scores[results.scores["subject"].isin(chosen)],
        predictions=results.predictions[results.predictions["subject"].isin(chosen)],
    )
    alone = compare(part).modality
    alone = overall(alone[alone["metric"] == rows["metric"].iloc[0]])
    for column in ("n", "difference", "low", "high", "p_sign_flip", "mean_functional"):
        assert rows[column].iloc[0] == alone[column].iloc[0], column
    # two subgroups are two tests: Holm's p is larger than alone
    assert "2 subgroups" in rows["family"].iloc[0] and "2 tests" in rows["family"].iloc[0]
    assert "1 tests" in alone["family"].iloc[0]
    smaller = min(rows["p_sign_flip"])
    assert min(rows["p_holm"]) == pytest.approx(min(1, 2 * smaller))


def test_subjects_without_a_value_are_a_subgroup(run) -> None:
    split = compare_subgroups(results_of(run[0]), ["scanner", "sex"])
    rows = overall(split.subgroups)
    assert list(zip(rows["by"], rows["subgroup"], rows["n"], strict=True)) == [
        ("scanner", "Biograph 64", 9),
        ("scanner", "not stated", 3),
        ("sex", "F", 6),
        ("sex", "M", 6),
    ]
    assert "4 subgroups" in rows["family"].iloc[0]
    assert set(split.subgroup_means["modality"]) == {"CT", "PT"}
    frames = {row["frame"] for row in rows_of(split)}
    assert frames == {"subgroups", "subgroup_means"}


def test_what_cannot_be_split(run, tmp_path: Path) -> None:
    results = results_of(run[0])
    with pytest.raises(UnknownNameError, match="scaner"):
        compare_subgroups(results, ["scaner"])
    table = Path(results.runs[0].info.dataset_source).with_name("tiny.subjects.tsv")
    away = table.rename(tmp_path / "away")
    with pytest.raises(UserError, match="no table of subjects"):
        compare_subgroups(results, ["sex"])
    away.rename(table)


def test_the_command_prints_subgroups(run) -> None:
    done = CliRunner().invoke(umd, ["compare", str(run[0].path), "--by", "scanner"])
    assert done.exit_code == 0, done.output
    assert "within subgroups" in done.stdout and "Biograph 64" in done.stdout
    assert "one family of tests" in done.stdout


def test_every_column_of_the_files_is_explained(run, tmp_path: Path) -> None:
    arguments = ["compare", str(run[0].path), "--by", "scanner", "-o", str(tmp_path / "csv")]
    done = CliRunner().invoke(umd, arguments)
    assert done.exit_code == 0, done.output
    columns = read_json(tmp_path / "csv" / "columns.json")["frames"]
    for name in ("subgroups", "subgroup_means", "modality"):
        header = (tmp_path / "csv" / f"{name}.csv").read_text().splitlines()[0]
        assert header.split(",") == list(columns[name])


@pytest.fixture(scope="module")
def pair(run, tmp_path_factory: pytest.TempPathFactory):
    """The run and one of a second model on the same subjects."""
    store = simulate_run(tmp_path_factory.mktemp("pair"), "beta", "box", pet_ct=12, pet_mr=0)
    body = read_json(store.path / "run.json")
    body["dataset_source"] = read_json(run[0].path / "run.json")["dataset_source"]
    write_json(store.path / "run.json", body)
    return run[0], store


def two_targets(stores) -> Results:
    results = load(stores)
    scores = results.scores[results.scores["target"].isin(["liver", "spleen"])]
    return Results(runs=results.runs, scores=scores, predictions=results.predictions)


def test_a_ranking_within_a_subgroup_is_that_of_its_subjects_alone(run, pair) -> None:
    results = two_targets(pair)
    split = rank_subgroups(results, ["sex"], metrics=("dice",), weights={("target", "liver"): 2.0})
    part = of_subjects(results, run[1][::2])
    alone = rank(part, metrics=("dice",), weights={("target", "liver"): 2.0})
    of_women = split.ranks[split.ranks["subgroup"] == "F"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_women[list(alone.ranks)], alone.ranks)
    counts = split.stability.groupby("subgroup")["subjects"].max().to_dict()
    assert counts == {"F": 6, "M": 6}
    for name, columns in SUBGROUP_FRAMES.items():
        assert list(getattr(split, name).columns) == list(columns)


def test_weights_of_targets_that_a_subgroup_lacks_have_no_effect(run, pair) -> None:
    results = two_targets(pair)
    scores = results.scores
    women = scores["subject"].isin(run[1][::2])
    lacking = Results(
        runs=results.runs,
        scores=scores[~(women & (scores["target"] == "liver"))],
        predictions=results.predictions,
    )
    split = rank_subgroups(lacking, ["sex"], metrics=("dice",), weights={("target", "liver"): 2.0})
    tasks = split.stability.groupby("subgroup")["tasks"].max().to_dict()
    assert tasks == {"F": 2, "M": 4}


def test_a_summary_within_a_subgroup_has_its_subjects_alone(run) -> None:
    store, subjects = run
    entries = summarise_subgroups(store, ["scanner", "sex"], metrics=("dice",))
    counts = {(e["by"], e["subgroup"]): e["subjects"] for e in entries if e["target"] == "liver"}
    assert counts == {
        ("scanner", "Biograph 64"): 9,
        ("scanner", "not stated"): 3,
        ("sex", "F"): 6,
        ("sex", "M"): 6,
    }
    women = next(e for e in entries if e["subgroup"] == "F" and e["target"] == "liver")
    scores = load([store]).scores
    chosen = scores[
        scores["subject"].isin(subjects[::2])
        & (scores["target"] == "liver")
        & (scores["modality"] == women["modality"])
        & (scores["metric"] == "dice")
    ]
    by_subject = chosen["value"].fillna(0.0).groupby(chosen["subject"].astype(str)).mean()
    assert women["mean_over_subjects"] == pytest.approx(by_subject.mean(), abs=1e-6)
    # facts of the whole run are not repeated for a part of it
    assert "displacement_mm" not in women and "reproducibility" not in women


@pytest.mark.parametrize("command", ["show", "rank"])
def test_commands_have_subgroups(pair, command: str) -> None:
    runs = [str(store.path) for store in (pair[:1] if command == "show" else pair)]
    arguments = [command, *runs, "--by", "sex", "--metric", "dice"]
    done = CliRunner().invoke(umd, arguments)
    assert done.exit_code == 0, done.output
    assert "subgroup" in done.stdout
    rows = CliRunner().invoke(umd, [*arguments, "--json"]).stdout.splitlines()
    parts = [row for row in map(json.loads, rows) if "subgroup" in row]
    assert {row["subgroup"] for row in parts} == {"F", "M"}
    wrong = CliRunner().invoke(umd, [command, *runs, "--by", "sx"])
    assert "did you mean sex" in str(wrong.exception)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\tsex\na\tF\n", "no column subject"),
        ("subject\tsex\na\n", "line 2"),
        ("subject\tsex\na\tF\na\tM\n", "line 3"),
        ("subject\t\na\tF\n", "no name of a column"),
        ("subject\tsex\tsex\na\tF\tM\n", "repeated"),
    ],
)
def test_a_table_with_faults(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "s.tsv").write_text(text)
    with pytest.raises(ManifestError, match=words):
        read_subject_table(tmp_path / "s.tsv")


def test_participants_of_bids(tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_text("participant_id\tage\nsub-01\t40\nsub-02\tn/a\n")
    assert read_subject_table(tmp_path / "s.tsv") == {"01": {"age": "40"}, "02": {"age": ""}}


def test_the_report_has_a_page_of_subgroups(pair, tmp_path: Path) -> None:
    options = Options(title="Subgroups", columns=["scanner"], images=False)
    write_report(two_targets(pair), tmp_path / "report", options)
    page = (tmp_path / "report" / "subgroups.html").read_text()
    for words in (
        "Biograph 64",
        "not stated",
        "structural minus PET within subgroups",
        "Ranking within",
    ):
        assert words in page
