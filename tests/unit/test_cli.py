"""The command line: clear lines, exit codes, JSON, and no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

UMD = Path(sys.executable).with_name("umd")


def umd(*arguments, **environment):
    done = subprocess.run(
        [UMD, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_help_needs_nothing_heavy():
    code = "import sys; sys.argv = ['umd', '--help']\nfrom evaluator.cli.main import main\ntry:\n main()\nexcept SystemExit: pass\nprint(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    modules = set(told.splitlines()[-1].split())
    assert not modules & {"numpy", "docker", "pandas", "nibabel", "rich", "pydantic"}
    assert "Run a model over a dataset" in told


def _commands(command, path):
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name), [*path, name])


def test_every_command_is_explained_and_has_an_example():
    from evaluator.cli.main import umd as front_door

    seen = list(_commands(front_door, ["umd"]))
    assert {path[1] for path, _ in seen if len(path) > 1} == set(front_door.list_commands(None))
    assert len(seen) > 12
    for path, command in seen:
        assert command.help, path
        own = f"Example: {' '.join(path)}"
        assert (command.epilog or "").startswith(
            own if len(path) > 1 and not isinstance(command, click.Group) else "Example: umd"
        ), path


def test_examples_are_commands_that_can_be_parsed(tmp_path, monkeypatch):
    """Each example's words are a command of the program, with options that it has."""
    import shlex

    monkeypatch.chdir(tmp_path)
    for folder in ("predicted", "references"):
        (tmp_path / folder).mkdir()

    from evaluator.cli.main import umd as front_door

    for path, command in _commands(front_door, ["umd"]):
        for example in (command.epilog or "").removeprefix("Example: ").split(", or "):
            words = shlex.split(example)
            assert words[0] == "umd", path
            own, rest = front_door, words[1:]
            while isinstance(own, click.Group):
                own, rest = own.get_command(click.Context(own), rest[0]), rest[1:]
            with own.make_context(own.name, list(rest)) as context:
                assert context.params.keys() == {
                    param.name for param in own.params if param.expose_value
                }, path


def test_make_eval_hands_its_arguments_on():
    done = subprocess.run(
        ["make", "-n", "eval", "MODEL=ellipsoid threshold", "DATA=ibsi-sts", "PROTOCOL=box", "GPUS=0,1", "ENGINE=local"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    (line,) = (line for line in done.stdout.splitlines() if "umd run" in line)
    for wanted in (
        "-m ellipsoid -m threshold",
        "-d ibsi-sts",
        "-p box",
        "--gpus 0,1",
        "--engine local",
    ):
        assert wanted in line


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "-m", "region-growth"], 2, "did you mean region-growing"),
        (
            ["run", "-m", "ellipsoid", "-m", "tresholds", "-d", "phantom-toy"],
            2,
            "did you mean threshold",
        ),
        (["run", "-m", "ellipsoid", "-d", "phantm"], 2, "did you mean phantom"),
        (["run", "-m", "ellipsoid", "-d", "phantom-toy", "--prompts", "nobody"], 2, "no run named"),
        (["run", "-m", "ellipsoid", "-d", "phantom-toy", "-p", "papr"], 2, "did you mean paper"),
        (["run", "-m", "ellipsoid", "--gpus", "first"], 2, "expected"),
        (["shw"], 2, "did you mean show"),
        (["show", "nothing"], 2, "no run named"),
        (["show"], 2, "there is no run in"),
        (["data", "verify", "/no/such.toml"], 3, "cannot be read"),
        (["run", "-m", "ellipsoid", "-d", "phantom-toy", "--case", "nobody"], 2, "no case named"),
    ],
)
def test_mistakes_get_a_sentence(arguments, code, said):
    done = umd(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_no_engine_says_what_to_do(tmp_path):
    done = umd(
        "run", "-m", "ellipsoid", "-d", "phantom-toy", DOCKER_HOST=f"unix://{tmp_path}/no.sock"
    )
    assert done.returncode == 6
    assert "apt-get install docker.io" in done.stderr
    done = umd("doctor", "--json", DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.returncode == 1
    assert any(
        f["what"] == "engine" and f["state"] == "missing"
        for f in map(json.loads, done.stdout.splitlines())
    )
    listed = umd("models", "list", "--json", DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert listed.returncode == 0
    assert {json.loads(line)["built"] for line in listed.stdout.splitlines()} == {None}


def test_no_disk_is_the_hosts_fault(project, tmp_path):
    """A file-size limit on the evaluator stands for a full disk: exit code 8, and no half-written record."""
    import resource

    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"])
    done = subprocess.run(
        [UMD, "run", "-m", "painter", "-d", data, "--engine", "local"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)),
    )  # fmt: skip
    assert done.returncode == 8, done.stderr
    assert "Traceback" not in done.stderr


def test_show_json_is_one_object_for_each_target_and_modality(project, tmp_path):
    project({"painter": PAINTER})
    run = order(
        "painter",
        make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen")),
        engine="local",
    )
    told = [json.loads(line) for line in umd("show", run.path, "--json").stdout.splitlines()]
    assert [(o["model"], o["target"], o["modality"]) for o in told] == [
        ("painter", target, modality) for target in ("liver", "spleen") for modality in ("CT", "PT")
    ]
    assert all(o["predictions"] == 2 and o["statuses"] == {"ok": 2} and o["metric"] == "dice" for o in told)
    assert all(0 < o["mean_over_subjects"] < 0.5 and 0 < o["median_over_subjects"] < 0.5 for o in told)
    shown = umd("show", run.path).stdout
    assert "SYNTHETIC DATA" in shown
    assert "(without a container)" in shown
    assert umd("show", run.path, "--metric", "dise").returncode == 2
    assert "by round" in umd("show", run.path, "--rounds").stdout
    assert len(umd("score", run.path).stdout.splitlines()) > 5


def test_a_run_of_prompts_that_a_model_does_not_take_has_no_rounds(project, tmp_path):
    project({"painter": PAINTER})
    run = order("painter", make_dataset(tmp_path / "data", ["a"]), engine="local", protocol="text")
    told = umd("show", run.path, "--rounds")
    assert told.returncode == 0
    assert "shows the statuses of the predictions" in told.stdout
    assert "by round" not in told.stdout


def test_show_refuses_what_it_would_ignore(project, tmp_path):
    project({"painter": PAINTER})
    run = order("painter", make_dataset(tmp_path / "data", ["a"]), engine="local")
    assert (
        "leave out --metric and --round" in umd("show", run.path, "--rounds", "--round", "0").stderr
    )
    assert "its rounds are 0 to 0" in umd("show", run.path, "--round", "7").stderr


def test_what_is_wrong_with_a_later_model_is_told_before_the_first_runs(project, tmp_path):
    project({"painter": PAINTER, "other": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"])
    for more in (("--option", "size=large"), ("--weights", "random")):
        done = umd(
            "run",
            "-m",
            "painter",
            "-m",
            "other",
            "-d",
            data,
            "--engine",
            "local",
            *more,
            UMD_RUNS=str(tmp_path / "r"),
        )
        assert done.returncode == 2, done.stderr
        assert not (tmp_path / "r").exists()


def test_a_reference_or_an_image_of_no_numbers_costs_its_scan_alone(project, tmp_path):
    import nibabel
    import numpy as np

    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    for name, spoil in (
        ("a_CT_reference", "one"),
        ("b_PT_reference", "half"),
        ("c_CT_image", "all"),
    ):
        path = tmp_path / "data" / f"{name}.nii.gz"
        image = nibabel.load(path)
        array = image.get_fdata().astype(np.float32)
        array = (
            np.full_like(array, np.nan)
            if spoil == "all"
            else array * (0.5 if spoil == "half" else 1)
        )
        array.flat[0] = np.nan if spoil == "one" else array.flat[0]
        nibabel.save(nibabel.Nifti1Image(array, image.affine), path)
    done = umd(
        "run",
        "-m",
        "painter",
        "-d",
        data,
        "--engine",
        "local",
        "--name",
        "x",
        UMD_RUNS=str(tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "not run: a.a CT",
        "not run: b.a PT",
        "not run: c.a CT",
        "no finite value",
        "must hold whole numbers",
    ):
        assert said in done.stdout, said
    entries = [
        json.loads(line) for line in umd("show", tmp_path / "r/x", "--json").stdout.splitlines()
    ]
    assert {o["modality"]: (o["predictions"], o["excluded"]) for o in entries} == {"CT": (1, 2), "PT": (2, 1)}


def test_runs_of_one_name_in_two_folders_leave_each_other_alone(project, tmp_path):
    """At once, under one cache: their files for the model lie apart."""
    slow = "import time\n" + PAINTER.replace(
        "        def paint(", "        time.sleep(0.2)\n        def paint("
    )
    project({"slow": slow})
    data = make_dataset(tmp_path / "data", list("abcd"))
    command = [UMD, "run", "-m", "slow", "-d", data, "--engine", "local", "--name", "x"]
    both = [
        subprocess.Popen(
            command,
            env=os.environ | {"UMD_RUNS": str(tmp_path / name)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for run in both:
        told = run.communicate(timeout=60)[0]
        assert run.returncode == 0
        assert "Predictions: 8 ok." in told
        assert "the same masks as in the session" in told


def test_a_place_that_cannot_be_written_is_said(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"])
    (tmp_path / "file").touch()
    done = umd(
        "run", "-m", "painter", "-d", data, "--engine", "local", UMD_RUNS=str(tmp_path / "file")
    )
    assert done.returncode == 8, done.stderr
    assert "make its folder one that can be written" in done.stderr


def test_missing_and_corrupt_files_cost_their_scan_alone(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c", "d"])
    folder = tmp_path / "data"
    (folder / "a_CT_image.nii.gz").unlink()
    whole = (folder / "b_PT_image.nii.gz").read_bytes()
    (folder / "b_PT_image.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "c_CT_reference.nii.gz").write_bytes((folder / "c_PT_reference.nii.gz").read_bytes())
    done = umd(
        "run",
        "-m",
        "painter",
        "-d",
        data,
        "--engine",
        "local",
        "--name",
        "x",
        UMD_RUNS=str(tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    assert "not run: a.a CT" in done.stdout
    assert "not run: b.a PT" in done.stdout
    assert "not run: c.a CT" in done.stdout
    entries = [
        json.loads(line) for line in umd("show", tmp_path / "r/x", "--json").stdout.splitlines()
    ]
    assert {o["modality"]: (o["predictions"], o["excluded"]) for o in entries} == {"CT": (2, 2), "PT": (3, 1)}
    found = umd("data", "verify", data, "--json")
    assert found.returncode == 5
    assert sum(json.loads(line)["severity"] == "error" for line in found.stdout.splitlines()) >= 3

    # mended, the same command does what is left and nothing else
    (folder / "b_PT_image.nii.gz").write_bytes(whole)
    again = umd(
        "run",
        "-m",
        "painter",
        "-d",
        data,
        "--engine",
        "local",
        "--name",
        "x",
        UMD_RUNS=str(tmp_path / "r"),
    )
    assert again.stderr.count("done before") == 5
    assert again.stderr.count(": done\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            OSError(28, "No space left on device", "a.pth"),
            8,
            "No space left on device: a.pth; free or mend it",
        ),
        (
            shutil.Error([("a", "b", "why")]),
            70,
            "a fault of umd itself (Error:",
        ),  # an OSError without a number
    ],
)
def test_whatever_the_system_refuses_is_a_message(monkeypatch, capsys, error, code, said):
    from evaluator.cli import main as module

    def fails(**_):
        raise error

    monkeypatch.setattr(module, "umd", fails)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert stopped.value.code == code
    assert said in capsys.readouterr().err
