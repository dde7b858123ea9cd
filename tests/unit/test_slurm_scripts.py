"""Scripts for Slurm ask for what a card says; the output of squeue and sacct is understood."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluator.errors import HostError, ManifestError, UserError
from evaluator.evaluation.cluster import slurm, slurm_suite
from evaluator.evaluation.cluster.slurm import expand_tasks, parse_sacct, parse_squeue
from evaluator.evaluation.cluster.slurm_records import SlurmArray, SlurmTask
from evaluator.evaluation.cluster.slurm_scripts import array_script, gpu_problem, request_of
from evaluator.evaluation.cluster.slurm_suite import SlurmScripts, submit_suite
from evaluator.manifests.sites import Site, format_time, load_site, parse_time
from evaluator.manifests.suites import Suite
from evaluator.runs.shards import Shard
from evaluator.runs.timings import TimeEstimate
from evaluator.types import ModelCard

GIB = 2**30


def card(**more):
    facts = {"name": "net", "title": "Net", "contract": "1", "inputs": (("CT",),), "units": {}}
    return ModelCard(**facts, prompts=("box",), targets=None, **more)


def job(seconds=None, **more):
    estimate = TimeEstimate(seconds=seconds, scans=3, run="net.earlier", difference="")
    return SimpleNamespace(
        card=card(**more),
        scans=100,
        estimate=estimate if seconds else None,
        shards=lambda count: tuple(Shard(index + 1, count) for index in range(count)),
    )


def site(**more):
    return Site.model_validate(more)


def test_a_task_asks_for_what_the_card_says():
    gpus = [
        {"memory_gib": 80, "option": "--gres=gpu:a100:1"},
        {"memory_gib": 24, "option": "--gres=gpu:rtx:1"},
    ]
    needs = {"gpu": "required", "gpu_memory": 16 * GIB, "memory": 12 * GIB}
    asked = request_of([job(**needs)], site(gpus=gpus))
    assert (asked.gpu, asked.memory) == ("--gres=gpu:rtx:1", 16 * 1024)
    assert (asked.time, asked.cpus) == ("12:00:00", 4)
    larger = needs | {"gpu_memory": 40 * GIB}
    assert request_of([job(**larger)], site(gpus=gpus)).gpu == "--gres=gpu:a100:1"
    assert request_of([job(**needs)], site()).gpu == "--gres=gpu:1"
    assert request_of([job()], site(gpus=gpus)).gpu is None
    too_large = card(gpu="required", gpu_memory=90 * GIB)
    assert "the site's largest GPU has 80 GiB" in gpu_problem(too_large, site(gpus=gpus))
    assert gpu_problem(too_large, site()) is None


def test_the_time_comes_from_an_earlier_run_and_stays_below_the_sites():
    asked = request_of([job(60.0)], site(shards=4))
    assert asked.time == format_time(900 + 2 * 25 * 60) == "01:05:00"
    assert asked.time_source == "25 scans of 60.0 s, by net.earlier"
    longest = request_of([job(6e4)], site(shards=4, longest="1-00:00:00"))
    assert longest.time == "1-00:00:00"
    assert "may be continued" in longest.time_source
    assert parse_time("1-02:03:04") == 93784


def test_a_script_is_bash_and_does_what_it_shows(tmp_path):
    text = array_script(
        "net",
        [SlurmTask(dataset="my data.toml", protocol="box", run="net.x", shard="1/2")],
        request_of([job(gpu="required")], site(setup=("echo ready",))),
        site(environment={"UMD_CACHE": "/tmp/$USER/c"}, setup=("echo ready",), attempts=2),
        suite="mine",
        umd=str(tmp_path / "umd"),
        environment={"UMD_RUNS": "/shared/my runs"},
        roots={"my data.toml": ["--data-root", "/my files"]},
    )
    assert "#SBATCH --gres=gpu:1" in text
    assert "export UMD_RUNS='/shared/my runs'" in text
    (tmp_path / "umd").write_text('#!/bin/bash\necho "$@"; echo "$UMD_CACHE"; exit ${ENDS:-0}\n')
    (tmp_path / "scontrol").write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/requeued; exit 1\n')
    for name in ("umd", "scontrol"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "job.sh").write_text(text)

    def run(**environment):
        variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "USER": "me", "SLURM_JOB_ID": "7"}
        return subprocess.run(
            ["bash", tmp_path / "job.sh"], env=variables | environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip

    done = run(SLURM_ARRAY_TASK_ID="0")
    assert done.returncode == 0, done.stderr
    assert (
        "-m net --engine podman --gpus all -d my data.toml --data-root /my files -p box"
        in done.stdout
    )
    assert done.stdout.splitlines()[0] == "ready"
    assert done.stdout.splitlines()[2] == "/tmp/me/c"
    assert run(SLURM_ARRAY_TASK_ID="1").returncode == 2
    assert run(SLURM_ARRAY_TASK_ID="0", ENDS="11").returncode == 0
    assert not (tmp_path / "requeued").exists()
    assert run(SLURM_ARRAY_TASK_ID="0", ENDS="8").returncode == 8
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    # the second restart of two attempts is refused
    assert run(SLURM_ARRAY_TASK_ID="0", ENDS="8", SLURM_RESTART_COUNT="1").returncode == 8
    assert run(SLURM_ARRAY_TASK_ID="0", SLURM_RESTART_COUNT="2").returncode == 75
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def test_lists_of_tasks_are_expanded():
    assert expand_tasks("0-2,5,8-12:2") == [0, 1, 2, 5, 8, 10, 12]
    entries = parse_squeue(
        "12_[2-3%4]|PENDING|Resources|\n12_0|RUNNING|None|n1\n13|NODE_FAIL|None|n2\nbad line\n"
    )
    assert [(one.job, one.task, one.active) for one in entries] == [
        (12, 2, True), (12, 3, True), (12, 0, True), (13, None, False),
    ]  # fmt: skip
    assert entries[0].reason == "Resources"
    ended = parse_sacct("12_1|CANCELLED by 1000|0:15|n1\n12_4|OUT_OF_MEMORY|0:125|n2\n")
    assert [(one.state, one.reason) for one in ended] == [
        ("CANCELLED", "exit 0:15"), ("OUT_OF_MEMORY", "exit 0:125"),
    ]  # fmt: skip


def test_what_squeue_says_counts_more_than_sacct(monkeypatch):
    def call(words):
        output = "12_1|FAILED|1:0|n1\n12_0|RUNNING|0:0|n1\n"
        if words[0] == "squeue":
            output = "12_0|COMPLETED|None|n1\n99_0|RUNNING|None|n1\n"
        return subprocess.CompletedProcess(words, 0, output, "")

    monkeypatch.setattr(slurm, "_call", call)
    monkeypatch.setattr(slurm.shutil, "which", lambda _: "/usr/bin/sacct")
    states = {key: state.state for key, state in slurm.task_states([12]).items()}
    assert states == {(12, 1): "FAILED", (12, 0): "COMPLETED"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("colour = 1", "colour: is not known"),
        ('time = "soon"', "time"),
        ("shards = 0", "shards"),
        ("x = ", "not TOML"),
    ],
)
def test_a_broken_site_names_its_fault(tmp_path, text, fault):
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=fault):
        load_site(path)


def test_an_image_file_is_loaded_once_on_a_node(tmp_path, monkeypatch):
    from evaluator.zoo.loaded_archives import load_once

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    archive, loads, images = tmp_path / "net.tar", [], {"sha256:a"}
    archive.write_bytes(b"image")

    def load(path):
        loads.append(path)
        return ["sha256:a"]

    store = SimpleNamespace(load=load, find=lambda name: name if name in images else None)
    assert load_once(store, "podman", archive) == ("sha256:a",)
    assert load_once(store, "podman", archive) == ()
    images.clear()  # someone removed the image
    assert load_once(store, "podman", archive) == ("sha256:a",)
    archive.write_bytes(b"another image")
    assert load_once(store, "podman", archive) == ("sha256:a",)
    assert len(loads) == 3
    (folder,) = tmp_path.glob("umd-images-*")
    folder.chmod(0o777)
    with pytest.raises(HostError, match="open to others; set TMPDIR to a folder of your own"):
        load_once(store, "podman", archive)
    assert len(loads) == 3


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A stand-in for Slurm's commands: it notes its arguments, and fails with a message."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_accounts", lambda _: [])

    def write(name: str, message: str) -> None:
        path = tmp_path / name
        ending = f"echo {message!r} >&2; exit 1" if message else "exit 0"
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\n{ending}\n')
        path.chmod(0o755)

    return write


def test_a_controller_that_is_down_is_told_and_ended_jobs_are_not(program):
    program("scancel", "scancel: error: Kill job error on job id 12: Invalid job id specified")
    slurm.cancel([12])
    down = "Unable to contact slurm controller (connect failure)"
    for name in ("scancel", "squeue", "sbatch"):
        program(name, f"{name}: error: {down}")
    for command in (slurm.cancel, slurm.task_states):
        with pytest.raises(HostError, match="controller does not answer"):
            command([12])
    with pytest.raises(HostError, match="controller does not answer"):
        slurm.submit(Path("net.sh"))


def test_squeue_lists_each_waiting_task_since_it_cuts_long_lists_short(program, tmp_path):
    program("squeue", "")
    assert slurm.task_states([12]) == {}
    assert "--array" in (tmp_path / "arguments").read_text().split()


def test_two_calls_at_once_submit_a_suite_once(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_RUNS", str(tmp_path))
    task = SlurmTask(dataset="d", protocol="box", run="net.d.box", shard="1/1")
    array = SlurmArray(model="net", image="sha256:0", script="net.sh", tasks=(task,))
    scripts = SlurmScripts(texts={}, arrays=(array,), refused=())
    suite = Suite(name="mine", title="Mine", models=["net"], datasets=["d"], protocols=["box"])
    submitted = []

    def submit(script: Path, _options: list[str]) -> int:
        time.sleep(0.05)  # the other call comes meanwhile
        submitted.append(script.name)
        return len(submitted)

    monkeypatch.setattr(slurm_suite, "submit", submit)
    monkeypatch.setattr(slurm_suite, "tasks_to_submit", lambda *_: [0])

    def call(_number: int) -> object:
        planned = SimpleNamespace(jobs=())
        try:
            return submit_suite(suite, "mine", scripts, planned, site(report=False), again=False)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(call, range(2)))
    assert submitted == ["net.sh", "gather.sh"]
    (refusal,) = [answer for answer in answers if isinstance(answer, str)]
    assert "suite mine was submitted before" in refusal
