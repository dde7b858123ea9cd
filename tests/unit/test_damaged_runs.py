"""Damaged files of a run are named and passed over; finished results are never lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.errors import HostError, UserError
from evaluator.runs.results import load
from evaluator.runs.store import RunStore
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def run(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"])
    return order("painter", data, engine="local"), data


def scores(run):
    return (run.path / "scores.csv").read_bytes()


@pytest.mark.parametrize("content", ["", '{"case": "a', '{"format": 2}', '{"rounds": "x"}', "[]"])
def test_a_damaged_record_is_named_passed_over_and_made_again(run, content, messages):
    store, data = run
    before = scores(store)
    path = store.record_path("a.a", "CT")
    path.write_text(content)
    (path.parent / "stray.json").write_text("{}")
    shutil.copy(store.record_path("b.a", "CT"), path.parent / "copy.json")
    assert len(list(store.records())) == 3
    assert len(load(store).predictions) == 3
    assert any("passed over" in line and str(path) in line for line in messages)
    again = order("painter", data, engine="local")
    assert again.path == store.path
    assert scores(again) == before
    assert len(list(store.records())) == 4
    names = sorted(file.name for file in (store.path / "damaged").iterdir())
    assert names == ["records-a.a-CT.json", "records-a.a-copy.json", "records-a.a-stray.json"]


def test_damaged_scores_and_prompts_are_made_again(run):
    store, data = run
    before, prompts = scores(store), store.prompts_path("b.a").read_bytes()
    store.score_path("a.a", "CT").write_text('{"rows": ')
    store.prompts_path("b.a").write_bytes(prompts[: len(prompts) // 2])
    assert scores(order("painter", data, engine="local")) == before
    assert store.prompts_path("b.a").read_bytes() == prompts
    # prompts that can be read but were changed are refused, not simulated again
    store.prompts_path("b.a").write_bytes(prompts.replace(b'"0"', b'"7"'))
    with pytest.raises(UserError, match="prompts"):
        order("painter", data, engine="local", rehash=True)


def test_a_damaged_run_json_is_a_sentence(run):
    store, _ = run
    (store.path / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json does not have the form"):
        RunStore(store.path).info()


def test_a_damaged_check_is_passed_over(run, messages):
    store, _ = run
    (store.path / "reproducibility.json").write_text("{")
    assert store.reproducibility() is None
    assert any("reproducibility.json" in line for line in messages)


@pytest.mark.parametrize("name", ["a_CT_image.nii.gz", "a_CT_reference.nii.gz"])
def test_results_are_kept_where_the_data_are_away(run, tmp_path, name):
    store, data = run
    before, record = scores(store), store.record_path("a.a", "CT").read_bytes()
    moved = (data.parent / name).rename(tmp_path / "away.nii.gz")
    with pytest.raises((HostError, UserError)):
        order("painter", data, engine="local")
    assert store.record_path("a.a", "CT").read_bytes() == record
    assert scores(store) == before
    moved.rename(data.parent / name)
    assert scores(order("painter", data, engine="local")) == before


CHANGES = PAINTER.replace(
    "        def paint(",
    "        from pathlib import Path\n"
    "        path = Path(Path('/tmp/umd-test-image').read_text())\n"
    "        path.write_bytes(path.read_bytes() + b'x')\n"
    "        def paint(",
)


def test_an_image_that_is_replaced_while_it_is_used_is_told(project, tmp_path):
    project({"changes": CHANGES})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    note = Path("/tmp/umd-test-image")
    note.write_text(str(data.parent / "a_CT_image.nii.gz"))
    try:
        with pytest.raises(HostError, match="was changed while the run used it"):
            order("changes", data, engine="local", force=True)
    finally:
        note.unlink()
    (folder,) = (tmp_path / "runs").glob("changes*")
    assert not list(folder.glob("records/*/*.json"))


def umd(*arguments, **options):
    return subprocess.Popen(
        [Path(sys.executable).with_name("umd"), *map(str, arguments)], env=os.environ, **options
    )


def test_a_closed_pipe_ends_by_sigpipe(run):
    store, _ = run
    reader, writer = os.pipe()
    os.close(reader)
    process = umd("show", store.path, "--csv", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGPIPE, stderr
    assert b"Traceback" not in stderr


SLOW = "import time\n" + PAINTER.replace(
    "        def paint(", "        time.sleep(1)\n        def paint("
)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
def test_signals_end_a_run_as_ctrl_c_does(project, tmp_path, number):
    project({"slow": SLOW})
    data = make_dataset(tmp_path / "data", ["a", "b"])
    process = umd(
        "run", "-m", "slow", "-d", data, "-p", "point-1", "--engine", "local",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:
        if line.rstrip().endswith(": done"):
            break
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)  # a second one does not stop the removal
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "the same command resumes" in stderr
