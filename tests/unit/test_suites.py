"""Suites and published figures: strict manifests, and independent runs of a suite."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

import evaluator.evaluation.suites
from evaluator.analysis.comparison.families import Family, families_of_suite
from evaluator.analysis.control_check import load_runs
from evaluator.cli.main import umd as command
from evaluator.errors import ManifestError, UnknownNameError, UserError
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.suites import describe, run_suite, suite_runs
from evaluator.manifests.datasets import dataset_manifests
from evaluator.manifests.protocols import protocol_ids
from evaluator.manifests.published import load_published
from evaluator.manifests.suites import load_suite, suite_names
from evaluator.metrics.metric_table import METRICS
from evaluator.zoo import zoo
from tests.tiny import PAINTER, make_dataset
from tests.unit.test_cli import umd

SUITE = """
name = "mine"
title = "A suite"
models = ["painter", "missing"]
datasets = ["target/tiny.toml"]
protocols = ["point-1", "box"]
control = "control/known.toml"
"""


def test_the_projects_suites_name_what_there_is():
    models = {model.name for model in zoo()}
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        assert set(suite.models) <= models
        assert set(suite.protocols) <= set(protocol_ids())
        assert set(suite.all_datasets) <= set(dataset_manifests())


def _quiet(suite):
    order = RunConfig(model="", dataset="", engine="local")
    return run_suite(suite, order, progress=lambda _: lambda *_: None)


@pytest.fixture
def suite(project, tmp_path):
    project({"painter": PAINTER})
    make_dataset(tmp_path / "target", ["a", "b"])
    make_dataset(tmp_path / "control", ["c"], ("CT",), name="known")
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    return load_suite(str(path))


def test_a_suite_runs_all_it_can_the_control_first(suite, messages):
    ended = _quiet(suite)
    assert [(one.protocol, one.model) for one in ended[:4]] == [
        ("point-1", "painter"), ("point-1", "missing"), ("box", "painter"), ("box", "missing"),
    ]  # fmt: skip
    assert [one.dataset.rpartition("/")[2] for one in ended] == ["known.toml"] * 4 + [
        "tiny.toml"
    ] * 4
    assert [bool(one.run) for one in ended] == [True, False] * 4
    assert all("no model named 'missing'" in one.reason for one in ended if not one.run)
    assert sum("could not be run" in line for line in messages) == 4
    assert suite_runs(suite) == ended
    assert {run.dataset for run in load_runs(suite).runs} == {"tiny", "known"}


def test_a_suite_runs_images_that_are_not_registered(suite, monkeypatch):
    orders = []

    def refuse(order, **_):
        orders.append(order)
        raise UserError("not now")

    monkeypatch.setattr("evaluator.evaluation.suites.run_model", refuse)
    arguments = ("suite", "run", "mine.toml", "--engine", "local", "--unregistered")
    monkeypatch.setattr("evaluator.manifests.suites.load_suite", lambda _: suite)
    assert CliRunner().invoke(command, arguments).exit_code == 1
    assert len(orders) == 8
    assert all(order.unregistered for order in orders)


def test_a_suite_goes_on_and_makes_nothing_twice(suite, monkeypatch):
    first = _quiet(suite)
    monkeypatch.setattr(
        "evaluator.evaluation.scan_images.load_references",
        lambda *_, **__: pytest.fail("a finished scan was read again"),
    )
    assert _quiet(suite) == first


def test_a_stop_in_the_second_pass_forgets_no_run(suite, monkeypatch):
    first = _quiet(suite)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    made = evaluator.evaluation.suites.run_model
    monkeypatch.setattr(
        "evaluator.evaluation.suites.run_model",
        lambda own, **more: made(own, **more) if "known" in own.dataset else stopped(),
    )
    with pytest.raises(KeyboardInterrupt):
        _quiet(suite)
    assert suite_runs(suite) == first


def test_a_suite_that_was_not_run(suite):
    with pytest.raises(UserError, match="umd suite run mine"):
        load_runs(suite)


def _umd(*arguments):
    return CliRunner().invoke(command, [str(word) for word in arguments], standalone_mode=False)


def test_the_commands(suite, tmp_path):
    path = tmp_path / "mine.toml"
    done = umd("suite", "run", path, "--engine", "local", "--json")
    assert done.returncode == 1
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 8
    shown = _umd("suite", "show", path).stdout
    assert "control: " in shown
    assert "painter.tiny.point-1" in shown
    verdicts = [
        json.loads(line) for line in _umd("suite", "control", path, "--json").stdout.splitlines()
    ]
    dice = {row["protocol"]: row for row in verdicts if row["metric"] == "dice"}
    assert (
        dice["point-1"]["verdict"] == "collapse everywhere"
    )  # one voxel about the point, on the control too
    assert dice["box"]["verdict"] == "works"
    assert (dice["box"]["control"], dice["box"]["target_dataset"]) == ("known", "tiny")
    assert "under point-1, dice: collapse everywhere" in _umd("suite", "control", path).stdout
    site = tmp_path / "site"
    assert umd("report", "--suite", path, "-o", site, "--no-images").returncode == 0
    assert "Control dataset: known" in (site / "index.html").read_text()
    assert "cpu" in _umd("suite", "list").stdout
    assert isinstance(_umd("suite", "control", "cpu").exception, UserError)
    refused = _umd("suite", "run", path, "--shards", "2").exception
    assert isinstance(refused, click.UsageError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SUITE.replace('"missing"', '"painter"'), "models must not be repeated"),
        (SUITE.replace('models = ["painter", "missing"]', "models = []"), "models"),
        (SUITE + "colour = 1", "colour"),
        ("name = ", "not TOML"),
        (SUITE.replace('"mine"', '"My Suite"'), "name"),
    ],
)
def test_a_broken_suite_names_its_fault(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=said):
        load_suite(str(path))


def test_unknown_suites_have_near_misses():
    with pytest.raises(UnknownNameError, match="did you mean cpu"):
        load_suite("cpuu")


def test_published_figures_are_complete_and_say_how_sure_they_are():
    published = load_published()
    figures = [(one, figure) for one in published for figure in one.figures]
    assert {figure.metric for _, figure in figures} <= set(METRICS)
    assert {figure.certainty for _, figure in figures} <= {"checked", "second-hand"}
    paper = {
        one.models[0]: [figure.value for figure in one.figures if figure.kind == "paper"]
        for one in published
    }
    assert paper["vista3d"] == [0.071, 0.005, 0.003, 0.006]
    assert paper["nnunet-10-shot"] == [0.686, 0.605, 0.652, 0.560]
    assert {figure.modality_pair for _, figure in figures if figure.kind == "paper"} == {
        "CT-PT",
        "MR-PT",
    }
    names = [name for one in published for name in one.models]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('certainty = "second-hand"', 'certainty = "sure"'), "certainty"),
        (("value = 0.404", ""), "value"),
    ],
)
def test_a_broken_figure_names_its_fault(tmp_path, change, said):
    from evaluator import paths

    text = (paths.project() / "manifests" / "published" / "sam-med3d.toml").read_text()
    (tmp_path / "x.toml").write_text(text.replace(*change, 1))
    with pytest.raises(ManifestError, match=said):
        load_published(tmp_path)


def test_families_of_tests_are_declared_in_the_suite(tmp_path):
    path = tmp_path / "mine.toml"
    family = '[[families]]\nname = "main"\nmodels = ["painter"]\ntargets = ["liver"]\n'
    path.write_text(SUITE + family)
    suite = load_suite(str(path))
    assert "family main: painter; liver" in list(describe(suite))
    families = families_of_suite(suite, {"painter [a.run]", "other"}, {"liver"})
    assert families == (Family(name="main", models=("painter",), targets=("liver",)),)
    assert families[0].has(("painter [a.run]",), "liver")
    # a model without a run leaves the family out, and is no error
    assert families_of_suite(suite, {"other"}, {"liver"}) == ()
    path.write_text(SUITE + family.replace("painter", "stranger"))
    with pytest.raises(ManifestError, match="family main has models that are not in the suite"):
        load_suite(str(path))
