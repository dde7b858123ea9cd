"""What a run will do is known before it does anything, and parts of it can be done by processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from evaluator.analysis.run_header import header
from evaluator.cli.gather import gather as gather_command
from evaluator.cli.run import run as run_command
from evaluator.errors import RunConflictError, UserError
from evaluator.evaluation.case_order import shard_cases
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig, parse_shard
from evaluator.evaluation.scan_task import ScanTask, scan_tasks
from evaluator.files import read_json
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.names import open_run
from evaluator.runs.shards import Shard
from evaluator.runs.tables import read_predictions, read_scores
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def config(project, tmp_path) -> RunConfig:
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"], ("CT", "PT"), ("liver", "spleen"))
    return RunConfig(model="painter", dataset=str(data), protocol="box", engine="local", recheck=1)


def states(resolved):
    return {(scan.case, scan.modality): scan.state for scan in resolved.scans}


def test_resolving_says_all_and_does_nothing(config, tmp_path):
    (tmp_path / "data" / "c_CT_image.nii.gz").unlink()
    before = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    resolved = resolve(replace(config, force=True))
    after = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    assert before == after
    assert states(resolved) == {
        ("a.a", "CT"): "to do", ("a.a", "PT"): "to do", ("b.a", "CT"): "to do",
        ("b.a", "PT"): "to do", ("c.a", "CT"): "not run", ("c.a", "PT"): "to do",
    }  # fmt: skip
    (missing,) = (scan.reason for scan in resolved.scans if scan.state == "not run")
    assert "c_CT_image.nii.gz is missing" in missing
    assert (resolved.image_built, resolved.run_exists, resolved.isolates) == (True, False, False)
    assert resolved.run_name.startswith("painter.tiny.box.")
    assert resolved.disk.masks > 0
    assert resolved.disk.staged > 0
    assert resolved.disk.runs_free > 0
    assert execute(resolved).name == resolved.run_name


def test_a_resolved_run_is_a_value(config):
    resolved = resolve(config)
    assert pickle.loads(pickle.dumps(resolved)) == resolved
    for task in resolved.tasks:
        assert pickle.loads(pickle.dumps(task)) == task
    assert resolved.tasks[0] == ScanTask(case="a.a", modalities=("CT",), number=0)


def test_what_is_done_and_refused_is_known(config, tmp_path):
    run = execute(resolve(config))
    assert set(states(resolve(config)).values()) == {"done"}
    mask = next((run.path / "masks").rglob("*.zip"))
    mask.write_bytes(b"damaged")
    assert sorted(states(resolve(config)).values()) == ["done"] * 5 + ["to do"]
    refused = resolve(
        RunConfig(model="painter", dataset=config.dataset, protocol="text", engine="local")
    )
    assert set(states(refused).values()) == {"refused"}
    assert refused.scans[0].reason.startswith("the protocol gives text")


def test_a_run_of_that_name_with_other_settings_is_refused_before_it_runs(config):
    execute(resolve(replace(config, name="mine")))
    with pytest.raises(RunConflictError, match="choose another --name"):
        resolve(replace(config, name="mine", protocol="point-1"))


def test_shared_clicks_make_one_task_of_a_case(config):
    cases = resolve(config).cases
    tasks = scan_tasks(cases, load_protocol("box-clicks-5-shared"))
    assert [(task.case, task.modalities, task.number) for task in tasks] == [
        ("a.a", ("CT", "PT"), 0), ("b.a", ("CT", "PT"), 2), ("c.a", ("CT", "PT"), 4),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_divide_the_subjects(config, count):
    cases = resolve(config).cases
    parts = [shard_cases(cases, Shard(index, count)) for index in range(1, count + 1)]
    together = [case for part in parts for case in part]
    assert sorted(together) == ["a.a", "b.a", "c.a"]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(text):
    with pytest.raises(UserError, match="write I/N"):
        parse_shard(text)


def test_two_processes_do_halves_of_one_run_and_it_equals_the_whole(config, tmp_path, monkeypatch):
    command = [
        sys.executable, "-c", "from evaluator.cli.main import main; main()",
        "run", "-m", "painter", "-d", config.dataset, "-p", "box", "--engine", "local",
        "--recheck", "1",
    ]  # fmt: skip
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "parts"))
    parts = [
        subprocess.Popen([*command, "--shard", f"{index}/2"], stderr=subprocess.PIPE, text=True)
        for index in (1, 2)
    ]
    endings = [part.communicate(timeout=300)[1] for part in parts]
    assert [part.returncode for part in parts] == [0, 0], endings
    (folder,) = (tmp_path / "parts").glob("painter.*")
    parted = open_run(str(folder))
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "whole"))
    whole = execute(resolve(config))
    assert read_scores(parted).equals(read_scores(whole))
    same = [name for name in read_predictions(whole) if "seconds" not in name and name != "notes"]
    assert read_predictions(parted)[same].equals(read_predictions(whole)[same])
    assert (parted.path / "scores.csv").read_text() == (whole.path / "scores.csv").read_text()
    assert parted.reproducibility().verdict == whole.reproducibility().verdict == "equal"


def test_one_shard_alone_leaves_the_tables_to_gather(config, messages):
    run = execute(resolve(replace(config, shard=Shard(1, 2))))
    assert not (run.path / "scores.csv").exists()
    assert any("2 scans of run" in line and "other shards" in line for line in messages)
    outcome = CliRunner().invoke(gather_command, [str(run.path)])
    assert outcome.exit_code == 0, outcome.output
    assert "gathered 4 scans" in outcome.output
    assert (run.path / "scores.csv").is_file()
    execute(resolve(replace(config, shard=Shard(2, 2))))
    assert len(read_scores(run)["case"].unique()) == 3
    assert run.reproducibility().verdict == "equal"


def test_the_whole_run_and_a_shard_are_not_written_at_once(config):
    run = execute(resolve(config))
    with run.writing(), pytest.raises(RunConflictError, match="is being written"):
        execute(resolve(replace(config, shard=Shard(1, 2))))
    with run.writing(Shard(1, 2)):
        with pytest.raises(RunConflictError, match="is being written"):
            execute(resolve(config))
        with run.writing(Shard(2, 2)):
            pass
        with pytest.raises(RunConflictError), run.writing(Shard(1, 2)):
            pass


def test_a_dry_run_is_printed(config, tmp_path):
    arguments = [
        "-m",
        "painter",
        "-d",
        config.dataset,
        "-p",
        "box",
        "--engine",
        "local",
        "--dry-run",
    ]
    (tmp_path / "data" / "c_CT_image.nii.gz").unlink()
    outcome = CliRunner().invoke(run_command, arguments)
    assert outcome.exit_code == 0, outcome.output
    for line in (
        "scans:    6: 5 to do, 0 done, 0 refused, 1 not run",
        "dataset:  tiny, 3 cases",
        "engine:   local (no isolation), GPUs: none",
        "not run: c.a CT: ",
    ):
        assert line in outcome.output
    assert not list((tmp_path / "runs").glob("*"))


def test_the_record_of_a_scan_does_not_depend_on_the_shard(config):
    run = execute(resolve(replace(config, shard=Shard(2, 3))))
    (record,) = {path.parent.name for path in (run.path / "records").glob("*/*.json")}
    assert record == "b.a"
    assert read_json(run.record_path("b.a", "CT"))["rounds"][0]["request"] == "r00002s00k00"


def test_a_half_run_is_shown_as_incomplete(config):
    run = execute(resolve(replace(config, shard=Shard(1, 2))))
    assert run.missing_scans() == 2
    assert any("INCOMPLETE: 2 of 6 scans are not done yet." in line for line in header(run))
    execute(resolve(replace(config, shard=Shard(2, 2))))
    assert run.missing_scans() == 0
    assert not any("INCOMPLETE" in line for line in header(run))


def test_records_without_a_run_json_are_not_taken_over_by_another_model(config):
    named = replace(config, name="mine")
    run = execute(resolve(named))
    (run.path / "run.json").unlink()
    with pytest.raises(RunConflictError, match=r"holds records but no run\.json"):
        execute(resolve(replace(named, protocol="point-1")))


def test_a_shard_may_be_given_as_text_in_python(config):
    import evaluator

    run = evaluator.run(config.model, config.dataset, "box", engine="local", recheck=0, shard="3/3")
    assert {record.case for record in run.records()} == {"c.a"}
    with pytest.raises(UserError, match="write I/N"):
        evaluator.run(config.model, config.dataset, "box", engine="local", shard="4/3")
