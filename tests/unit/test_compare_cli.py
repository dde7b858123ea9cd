"""``umd compare`` and ``umd rank`` on simulated runs: what is printed, as JSON and as CSV."""

from __future__ import annotations

import json

import click
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.simulate import simulate_run
from evaluator.analysis.comparison.schema import FRAMES
from evaluator.analysis.ranking import FRAMES as RANKS
from evaluator.cli.main import umd as command
from evaluator.errors import UserError
from evaluator.files import read_json, write_json


def umd(*arguments) -> str:
    """What the command prints; its errors are raised."""
    return (
        CliRunner()
        .invoke(
            command,
            [str(word) for word in arguments],
            standalone_mode=False,
            catch_exceptions=False,
        )
        .stdout
    )


@pytest.fixture
def runs(tmp_path):
    return [
        simulate_run(tmp_path, model, "paper", pet_ct=8, pet_mr=6) for model in ("alpha", "beta")
    ]


def test_the_table(runs):
    body = read_json(runs[0].path / "run.json")
    body["card"]["umd.weights"] = "random:small"
    write_json(runs[0].path / "run.json", body)
    told = umd("compare", *(run.path for run in runs))
    assert "SYNTHETIC DATA" in told
    assert "alpha: RANDOM WEIGHTS, NOT A RESULT" in told
    for word in (
        "CT-PT",
        "MR-PT",
        "kidney-left",
        "all targets jointly",
        "mixed model",
        "Unit: the subject",
        "dice 0.05",
    ):
        assert word in told, word


def test_json_and_csv(runs, tmp_path):
    told = umd(
        "compare",
        *(run.path for run in runs),
        "--json",
        "--margin",
        "dice=0.2",
        "-o",
        tmp_path / "csv",
    )
    rows = [json.loads(line) for line in told.splitlines()]
    assert {row["frame"] for row in rows} == set(FRAMES) - {"published"}
    first = next(row for row in rows if row["frame"] == "modality")
    assert list(first) == ["frame", *FRAMES["modality"]]
    assert first["margin"] == 0.2
    columns = json.loads((tmp_path / "csv" / "columns.json").read_text())
    assert columns["settings"]["margins"]["dice"] == 0.2
    for name in FRAMES:
        assert list(pd.read_csv(tmp_path / "csv" / f"{name}.csv").columns) == list(FRAMES[name])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "nothing"], "no run named"),
        (["compare", "RUN", "--margin", "dice"], "METRIC=NUMBER"),
        (["compare", "RUN", "--margin", "dice=-1"], "above 0"),
        (["compare", "RUN", "--metric", "dise"], "did you mean dice"),
        (["compare", "RUN", "--primary", "alfa"], "did you mean alpha"),
        (["compare", "RUN", "--primary", "alpha:livr"], "did you mean liver"),
        (["compare"], "name runs, or a --suite"),
        (["rank", "RUN", "--weight", "dice=2"], "KIND:NAME=NUMBER"),
        (["rank", "RUN", "--weight", "target:livr=2"], "did you mean liver"),
    ],
)
def test_mistakes_get_a_sentence(runs, arguments, said):
    words = [str(runs[0].path) if word == "RUN" else word for word in arguments]
    error = CliRunner().invoke(command, words, standalone_mode=False).exception
    assert isinstance(error, UserError | click.UsageError)
    assert said in (error.message if isinstance(error, click.UsageError) else str(error))


def test_rank(runs):
    told = umd("rank", *(run.path for run in runs), "--metric", "dice")
    assert "aggregate-then-rank" in told
    assert "Kendall's tau-b" in told
    assert "SYNTHETIC DATA" in told
    rows = [
        json.loads(line) for line in umd("rank", *(run.path for run in runs), "--json").splitlines()
    ]
    assert {row["frame"] for row in rows} == set(RANKS)


def test_primary_comparisons_and_reasons(runs):
    rows = [
        json.loads(line)
        for line in umd(
            "compare", *(run.path for run in runs), "--json", "--primary", "alpha:liver"
        ).splitlines()
    ]
    rows = [row for row in rows if row["frame"] == "modality" and row["failures"] == "counted"]
    primary = [row for row in rows if row["family"].endswith("; primary alpha:liver")]
    assert {(row["model"], row["target"]) for row in primary} == {("alpha", "liver")}
    assert all(row["p_holm"] == row["p_sign_flip"] for row in primary)
    text = umd("compare", *(run.path for run in runs), "--wide")
    assert "too few subjects" in text
    assert "the smallest adjusted p is" in text
    assert "sign-flip test" in text
