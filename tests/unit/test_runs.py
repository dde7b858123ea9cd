"""Runs by name, their list, their log, limited runs, and commands that repeat a run."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest

from evaluator.errors import UnknownNameError, UserError
from evaluator.runs.json_types import write_typed
from evaluator.runs.names import choose_runs, find_runs, open_run
from evaluator.runs.repeat import repeat_command
from evaluator.runs.timings import estimate_time
from tests.command import umd
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def data(project, tmp_path):
    project({"painter": PAINTER})
    return make_dataset(tmp_path / "data", ["a", "b", "c"])


@pytest.fixture
def stores(data):
    """Runs under point-1, under point-3, and under point-1 with a name."""
    return [
        order("painter", data, "point-1", engine="local", limit=1),
        order("painter", data, "point-3", engine="local", limit=1),
        order("painter", data, "point-1", engine="local", limit=1, name="other"),
    ]


def test_names_beginnings_patterns_and_folders(stores):
    first, second, other = stores
    assert open_run(first.name) == first
    assert open_run("painter.tiny.point-1") == first
    assert open_run("oth") == other
    assert open_run("*point-3*") == second
    assert open_run(str(other.path)) == other
    assert find_runs("painter") == [first, second]
    assert choose_runs(["painter*", "other", other.name]) == [first, second, other]
    with pytest.raises(UserError, match=r"2 runs are named 'painter' or begin so: .*write more"):
        open_run("painter")
    with pytest.raises(UserError, match=r"'painter\*' for all of them"):
        choose_runs(["painter"])
    with pytest.raises(UnknownNameError, match="umd runs lists the 3 that exist"):
        open_run("nosuch")
    with pytest.raises(UnknownNameError):
        open_run("")


def test_an_unfinished_name_is_that_of_the_run_whose_part_it_completes(stores):
    first = stores[0]
    name = first.name.replace("point-1", "point-1-more")
    (first.path.parent / name).mkdir()
    (first.path.parent / name / "run.json").write_bytes((first.path / "run.json").read_bytes())
    assert open_run("painter.tiny.point-1") == first
    assert len(find_runs("painter.tiny.point-1*")) == 2


def test_the_list_of_runs(stores):
    listed = [json.loads(line) for line in umd("runs", "--json").stdout.splitlines()]
    assert {entry["name"] for entry in listed} == {store.name for store in stores}
    assert {entry["state"] for entry in listed} == {"complete"}
    assert all("LIMITED: 1 of 3 subjects" in entry["remark"] for entry in listed)
    listed = umd("runs", "-p", "*-3", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in listed] == [stores[1].name]
    (stores[2].path / "run.json").write_text("{")
    shown = umd("runs")
    assert shown.returncode == 0
    assert "damaged" in shown.stdout
    assert "3 runs in" in shown.stdout


def test_runs_are_deleted_only_with_consent(stores):
    refused = umd("runs", "delete", "painter*")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert all(store.path.is_dir() for store in stores)
    done = umd("runs", "delete", "painter*", "--yes")
    assert done.returncode == 0, done.stderr
    assert [store.path.is_dir() for store in stores] == [False, False, True]
    with stores[2].writing():
        busy = umd("runs", "delete", "other", "--yes")
    assert busy.returncode == 9
    assert stores[2].path.is_dir()


def test_the_log_of_the_model(data):
    talking = order("painter", data, engine="local", limit=1)
    (talking.path / "model.log").write_text("one\ntwo\nthree\n")
    assert umd("log", "painter", "--lines", "2").stdout == "two\nthree\n"
    assert umd("log").stdout == "one\ntwo\nthree\n"
    (talking.path / "model.log").unlink()
    assert "has no log" in umd("log").stderr


def test_a_limited_run_says_so_and_is_continued_without_the_limit(data):
    command = ["run", "-m", "painter", "-d", data, "-p", "point-1", "--engine", "local"]
    limited = umd(*command, "--limit", "1")
    assert limited.returncode == 0, limited.stderr
    assert "LIMITED: 1 of 3 subjects of the dataset." in limited.stdout
    assert "Predictions: 2 ok." in limited.stdout
    run = open_run("painter")
    assert "LIMITED: 1 of 3" in umd("compare", run.name).stdout
    again = umd(*command)
    assert again.stderr.count("done before") == 2
    assert "LIMITED" not in again.stdout
    info = run.info()
    assert (info.scans, info.subjects, info.dataset_subjects) == (6, 3, 3)
    assert "--limit" not in info.arguments
    assert "Predictions: 6 ok." in again.stdout


def test_the_recorded_arguments_repeat_the_run_from_any_folder(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = order("painter", "data/tiny.toml", engine="local", limit=2, timeout=50.0)
    assert run.info().dataset_source == str(data)
    command = repeat_command(run.info(), private=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = umd(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("done before") == 4
    private = repeat_command(run.info(), private=True)
    assert str(tmp_path) not in private
    assert "-d FOLDER/tiny.toml -p point-1 --limit 2 --engine local --timeout 50.0" in private


def test_a_run_of_an_older_version_is_repeated_from_its_facts(data):
    run = order("painter", data, engine="local")
    write_typed(run.path / "run.json", replace(run.info(), arguments=(), options={"size": "s"}))
    assert repeat_command(run.info(), private=False) == (
        f"umd run -m painter -d {data} -p point-1 --option size=s --engine local"
    )


def test_the_time_is_estimated_from_the_most_similar_run(stores, data):
    assert estimate_time("nobody", "tiny", "point-1") is None
    same = estimate_time("painter", "tiny", "point-3")
    assert (same.run, same.difference, same.scans) == (stores[1].name, "", 2)
    other = estimate_time("painter", "large", "box")
    assert other.difference == "protocol point-1 and dataset large" or other.difference
    planned = umd(
        "run", "-m", "painter", "-d", data, "-p", "point-3", "--engine", "local", "--dry-run"
    )
    assert "time:     about 0 s for the model, as the median of 2 scans" in planned.stdout
