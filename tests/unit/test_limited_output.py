"""A file system of limited size for what a model writes, and what killed evaluators leave."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.containers import StartHistory
from evaluator.containers.limited_output import describe_output_limit, limited_output
from evaluator.containers.output_monitor import OutputMonitor
from evaluator.containers.workspace import (
    OWNER,
    abandoned_workspaces,
    mounts_below,
    remove_abandoned,
    remove_workspace,
    workspace_of,
)
from evaluator.runs.json_types import write_typed
from evaluator.runs.store import create_run
from tests.conftest import order, skip_outside_ci
from tests.tiny import PAINTER, make_dataset

LIMIT = 2**24


class Quiet:
    """A process that is killed once and holds no file."""

    killed = 0

    def unlinked_bytes(self, device):
        return 0

    def kill(self):
        self.killed += 1


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "a cache"))


@pytest.fixture
def limited():
    if os.geteuid() != 0:
        skip_outside_ci("only root can mount a file system")
    with workspace_of("x") as workspace, limited_output(workspace, LIMIT, enforced=True) as result:
        assert result.output != workspace.output
        yield result


def allocate(path: Path, size: int) -> int:
    """Reserve space at once; returns 0, or the system's error number."""
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            return error.errno
    return 0


def test_what_fits_is_held_and_no_more_however_fast(limited):
    assert allocate(limited.output / "fits", LIMIT) == 0
    (limited.output / "fits").unlink()
    assert allocate(limited.output / "huge", 22 * 2**30) == errno.ENOSPC
    parts = 0
    while allocate(limited.output / str(parts), 2**22) == 0:
        parts += 1
    used = sum(path.stat().st_blocks * 512 for path in limited.output.glob("*"))
    assert LIMIT < used < LIMIT + 2**27


def test_a_full_file_system_is_too_large_with_and_without_names(limited):
    folder = limited.output / "container"
    folder.mkdir()
    process = Quiet()
    monitor = OutputMonitor(folder, LIMIT, process)
    try:
        assert monitor.look() is None
        with (folder / "unnamed").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, LIMIT + 2**20)
            (folder / "unnamed").unlink()
            process.unlinked_bytes = lambda device: os.fstat(file.fileno()).st_blocks * 512
            assert monitor.look().status == "too-large"
        assert process.killed == 1
    finally:
        monitor.end()


def test_a_program_with_set_user_id_gets_no_rights_there(limited):
    program = limited.output / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o6755)
    flags = os.statvfs(program).f_flag
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV
    with pytest.raises(PermissionError):  # others cannot enter the workspace
        subprocess.run([program, "-u"], user=65534, group=65534, check=False)


def test_nothing_stays_mounted(limited):
    work = limited.input.parent
    assert mounts_below(work) == [limited.output]
    assert "a cache" in str(limited.output)
    (limited.output / "left").write_bytes(bytes(1000))
    remove_workspace(work)
    assert mounts_below(work) == []
    assert not work.exists()


def test_a_killed_evaluator_leaves_no_mount(tmp_path):
    if os.geteuid() != 0:
        skip_outside_ci("only root can mount a file system")
    code = (
        "import os, signal\n"
        "from evaluator.containers.limited_output import limited_output\n"
        "from evaluator.containers.workspace import mounts_below, workspace_of\n"
        "with workspace_of('x') as workspace:\n"
        "    with limited_output(workspace, 2**20, enforced=True) as limited:\n"
        "        print(len(mounts_below(workspace.input.parent)), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=os.environ, capture_output=True, text=True
    )
    assert done.stdout == "1\n"
    end = time.monotonic() + 60
    while mounts_below(paths.cache()) and time.monotonic() < end:
        time.sleep(0.02)
    assert mounts_below(paths.cache()) == []


@pytest.mark.parametrize(
    ("program", "command", "reason"),
    [
        ("MOUNT", "false", "false"),
        ("FORMAT", "mkfs.ext4-of-nobody", "mkfs.ext4-of-nobody: No such file or directory"),
        ("MOUNT", "mount-of-nobody", "mount-of-nobody: No such file or directory"),
    ],
)
def test_a_machine_that_mounts_nothing_is_told(program, command, reason, monkeypatch, messages):
    monkeypatch.setattr(f"evaluator.containers.limited_output.{program}", (command,))
    with workspace_of("x") as workspace, limited_output(workspace, LIMIT, enforced=True) as result:
        assert result == workspace
        assert sorted(path.name for path in workspace.input.parent.iterdir()) == [
            OWNER,
            "input",
            "output",
        ]
    assert any(f"watched and not limited in size: {reason}" in line for line in messages)


@pytest.mark.parametrize(("seen", "words"), [(False, "not known"), (OSError, "does not see")])
def test_an_engine_that_does_not_see_the_mount_has_a_watched_folder(seen, words, monkeypatch):
    from evaluator.errors import HostError

    class Engine:
        isolates = True

        def check_folders(self, image, workspace, *, run_id, gpu):
            if seen is OSError:
                raise HostError("the engine does not see the folder")
            return seen

    history = StartHistory()
    if os.geteuid() != 0:
        words = "only root"
    assert words in describe_output_limit(Engine(), "image", "run", history)
    assert history.checked_gpus == set()
    Engine.isolates = False
    assert "isolates nothing" in describe_output_limit(Engine(), "image", "run", history)


def test_a_workspace_of_a_killed_evaluator_is_found_and_others_are_not(tmp_path):
    code = (
        "import os, signal\n"
        "from evaluator.containers.workspace import workspace_of\n"
        "with workspace_of('killed') as workspace:\n"
        "    (workspace.input / 'images' / 'scan').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, env=os.environ)
    work = paths.cache() / "work"
    with workspace_of("alive"):
        (elsewhere,) = [work / "elsewhere"]
        elsewhere.mkdir()
        owner = {"pid": 1, "started": "x", "host": "another-machine"}
        (elsewhere / OWNER).write_text(json.dumps(owner))
        (work / "unknown").mkdir()
        (folder,) = abandoned_workspaces()
        assert (folder / "input" / "images" / "scan").is_file()
        assert remove_abandoned() == [folder]
        assert abandoned_workspaces() == []
        assert len(list(work.iterdir())) == 3


def test_a_workspace_whose_run_was_resumed_in_the_meantime_stays(monkeypatch):
    with workspace_of("resumed") as workspace:
        folder = workspace.input.parent
        # as it was before the other process resumed its run
        monkeypatch.setattr("evaluator.containers.workspace.abandoned_workspaces", lambda: [folder])
        assert remove_abandoned() == []
        assert workspace.output.is_dir()


@pytest.fixture
def run_of_root(project, tmp_path):
    """A run that is recorded with a limited output folder, and what another process records."""
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    run = order("painter", data, engine="local", name="root")
    info = run.info()
    protected = replace(
        info,
        engine=replace(info.engine, isolates=True, unlimited=()),
        limits=replace(info.limits, output_limit="enforced"),
    )
    write_typed(run.path / "run.json", protected)
    return run, protected, data


def test_a_run_is_recorded_with_the_weakest_limit_of_its_processes(run_of_root):
    run, protected, _ = run_of_root
    create_run(run.name, protected)
    assert run.info() == protected
    weaker = replace(
        protected,
        engine=replace(protected.engine, unlimited=("memory is not limited",)),
        limits=replace(protected.limits, output_limit="watched: only root can mount"),
    )
    create_run(run.name, weaker)
    assert run.info() == weaker
    create_run(run.name, protected)  # root again
    assert run.info() == weaker
    without = replace(protected, engine=replace(protected.engine, isolates=False))
    create_run(run.name, without)
    assert not run.info().engine.isolates


def test_a_resumed_run_tells_that_its_output_folder_was_watched(run_of_root):
    run, _, data = run_of_root
    order("painter", data, engine="local", name="root")
    assert run.info().limits.output_limit == "watched: the engine isolates nothing"
    assert not run.info().engine.isolates


def test_a_worker_without_a_limited_folder_is_recorded(run_of_root, monkeypatch):
    run, _, _ = run_of_root
    monkeypatch.setattr("evaluator.containers.limited_output.MOUNT", ("false",))
    with workspace_of("x") as workspace:
        watched = run.record_output_limit
        with limited_output(workspace, LIMIT, enforced=True, watched=watched):
            assert run.info().limits.output_limit.startswith("watched: false")
