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


def test_help_imports_no_large_packages():
    code = (
        "import sys; sys.argv = ['umd', '--help']\n"
        "from evaluator.cli.main import main\n"
        "try:\n main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    modules = set(output.splitlines()[-1].split())
    assert not modules & {"numpy", "docker", "pandas", "nibabel", "rich", "pydantic"}
    assert "Run a model over a dataset" in output


def _commands(command, path):
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name), [*path, name])


def test_every_command_is_explained_and_has_an_example():
    from evaluator.cli.main import umd as umd_command

    seen = list(_commands(umd_command, ["umd"]))
    assert {path[1] for path, _ in seen if len(path) > 1} == set(umd_command.list_commands(None))
    assert len(seen) > 12
    for path, command in seen:
        assert command.help, path
        example = f"Example: {' '.join(path)}"
        assert (command.epilog or "").startswith(
            example if len(path) > 1 and not isinstance(command, click.Group) else "Example: umd"
        ), path


def test_examples_can_be_parsed(tmp_path, monkeypatch):
    """Each example is a valid command with existing options."""
    import shlex

    monkeypatch.chdir(tmp_path)
    for folder in ("predicted", "references"):
        (tmp_path / folder).mkdir()

    from evaluator.cli.main import umd as umd_command

    for path, command in _commands(umd_command, ["umd"]):
        for example in (command.epilog or "").removeprefix("Example: ").split(", or "):
            words = shlex.split(example)
            assert words[0] == "umd", path
            current, rest = umd_command, words[1:]
            while isinstance(current, click.Group):
                current, rest = current.get_command(click.Context(current), rest[0]), rest[1:]
            with current.make_context(current.name, list(rest)) as context:
                assert context.params.keys() == {
                    param.name for param in current.params if param.expose_value
                }, path


def test_make_eval_passes_its_arguments():
    done = subprocess.run(
        ["make", "-n", "eval", "MODEL=ellipsoid threshold", "DATA=ibsi-sts", "PROTOCOL=box",
         "GPUS=0,1", "ENGINE=local"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    (line,) = (line for line in done.stdout.splitlines() if "umd run" in line)
    for expected in (
        "-m ellipsoid -m threshold",
        "-d ibsi-sts",
        "-p box",
        "--gpus 0,1",
        "--engine local",
    ):
        assert expected in line


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
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
def test_messages_of_user_errors(arguments, code, message):
    done = umd(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr


def test_a_missing_engine_is_explained(tmp_path):
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


def test_a_full_disk_is_a_host_error(project, tmp_path):
    """A limit on file sizes simulates a full disk: exit code 8 and no incomplete record."""
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
    assert all(
        o["predictions"] == 2 and o["statuses"] == {"ok": 2} and o["metric"] == "dice" for o in told
    )
    assert all(
        0 < o["mean_over_subjects"] < 0.5 and 0 < o["median_over_subjects"] < 0.5 for o in told
    )
    shown = umd("show", run.path).stdout
    assert "SYNTHETIC DATA" in shown
    assert "(without a container)" in shown
    assert umd("show", run.path, "--metric", "dise").returncode == 2
    assert "by round" in umd("show", run.path, "--rounds").stdout
    assert len(umd("score", run.path).stdout.splitlines()) > 5


def test_a_run_with_unsupported_prompts_has_no_rounds(project, tmp_path):
    project({"painter": PAINTER})
    run = order("painter", make_dataset(tmp_path / "data", ["a"]), engine="local", protocol="text")
    shown = umd("show", run.path).stdout
    assert "no scores: the model supports none of the predictions" in shown
    assert "Predictions: 2 unsupported." in shown
    assert "the model was run on no scan" in shown
    told = umd("show", run.path, "--rounds")
    assert told.returncode == 0
    assert "shows the statuses of the predictions" in told.stdout
    assert "by round" not in told.stdout


def test_show_refuses_options_without_effect(project, tmp_path):
    project({"painter": PAINTER})
    run = order("painter", make_dataset(tmp_path / "data", ["a"]), engine="local")
    assert (
        "leave out --metric, --round and --by"
        in umd("show", run.path, "--rounds", "--round", "0").stderr
    )
    assert "its rounds are 0 to 0" in umd("show", run.path, "--round", "7").stderr


def test_errors_of_a_later_model_are_reported_before_the_first_runs(project, tmp_path):
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


def test_invalid_values_affect_only_their_scan(project, tmp_path):
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
        "--force",
        UMD_RUNS=str(tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    for message in (
        "not run: a.a CT",
        "not run: b.a PT",
        "not run: c.a CT",
        "no finite value",
        "must hold whole numbers",
    ):
        assert message in done.stdout, message
    entries = [
        json.loads(line) for line in umd("show", tmp_path / "r/x", "--json").stdout.splitlines()
    ]
    assert {o["modality"]: (o["predictions"], o["excluded"]) for o in entries} == {
        "CT": (1, 2),
        "PT": (2, 1),
    }


def test_runs_of_one_name_in_two_folders_are_independent(project, tmp_path):
    """At the same time and with one cache: their workspaces are separate."""
    slow = "import time\n" + PAINTER.replace(
        "        def paint(", "        time.sleep(0.2)\n        def paint("
    )
    project({"slow": slow})
    data = make_dataset(tmp_path / "data", list("abcd"))
    command = [UMD, "run", "-m", "slow", "-d", data, "--engine", "local", "--name", "x"]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | {"UMD_RUNS": str(tmp_path / name)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0
        assert "Predictions: 8 ok." in output
        assert "the same masks as in the session" in output


def test_a_folder_that_cannot_be_written_is_reported(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"])
    (tmp_path / "file").touch()
    done = umd(
        "run", "-m", "painter", "-d", data, "--engine", "local", UMD_RUNS=str(tmp_path / "file")
    )
    assert done.returncode == 8, done.stderr
    assert "make its folder writable" in done.stderr


def test_missing_and_damaged_files_affect_only_their_scan(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c", "d"])
    folder = tmp_path / "data"
    (folder / "a_CT_image.nii.gz").unlink()
    content = (folder / "b_PT_image.nii.gz").read_bytes()
    (folder / "b_PT_image.nii.gz").write_bytes(content[: len(content) // 2])
    (folder / "c_CT_reference.nii.gz").write_bytes((folder / "c_PT_reference.nii.gz").read_bytes())
    command = ["run", "-m", "painter", "-d", data, "--engine", "local", "--name", "x"]
    refused = umd(*command, UMD_RUNS=str(tmp_path / "r"))
    assert refused.returncode == 5
    assert "a.a CT" in refused.stderr and "b.a PT" in refused.stderr and "--force" in refused.stderr
    assert not (tmp_path / "r" / "x").exists()
    done = umd(*command, "--force", UMD_RUNS=str(tmp_path / "r"))
    assert done.returncode == 0, done.stderr
    assert "FORCED" in done.stdout
    assert "not run: a.a CT" in done.stdout
    assert "not run: b.a PT" in done.stdout
    assert "not run: c.a CT" in done.stdout
    entries = [
        json.loads(line) for line in umd("show", tmp_path / "r/x", "--json").stdout.splitlines()
    ]
    assert {o["modality"]: (o["predictions"], o["excluded"]) for o in entries} == {
        "CT": (2, 2),
        "PT": (3, 1),
    }
    found = umd("data", "verify", data, "--json")
    assert found.returncode == 5
    assert sum(json.loads(line)["severity"] == "error" for line in found.stdout.splitlines()) >= 3

    # after the repair, the same command evaluates only the missing scan
    (folder / "b_PT_image.nii.gz").write_bytes(content)
    again = umd(*command, "--force", UMD_RUNS=str(tmp_path / "r"))
    assert again.stderr.count("done before") == 5
    assert again.stderr.count(": done\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            OSError(28, "No space left on device", "a.pth"),
            8,
            "No space left on device: a.pth; free or repair it",
        ),
        (
            shutil.Error([("a", "b", "why")]),
            70,
            "a bug in umd (Error:",
        ),  # an OSError without a number
    ],
)
def test_system_errors_become_messages(monkeypatch, capsys, error, code, message):
    from evaluator.cli import main as module

    def fails(**_):
        raise error

    monkeypatch.setattr(module, "umd", fails)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert stopped.value.code == code
    assert message in capsys.readouterr().err


@pytest.fixture
def run_painter(project, tmp_path):
    """Run a model over one case without a container: ``run_painter("-q", "--log-file", path)``."""
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"])

    def run(*options):
        return umd(*options, "run", "-m", "painter", "-d", data, "--engine", "local", "--name", "x")

    return run


def test_a_quiet_run_shows_only_warnings(run_painter, tmp_path):
    log = tmp_path / "umd.log"
    done = run_painter("-q", "--log-file", log)
    assert done.returncode == 0, done.stderr
    assert "Predictions: 2 ok." in done.stdout
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), done.stderr
    lines = log.read_text().splitlines()
    assert any(" INFO evaluator.cli.progress: painter 2/2 " in line for line in lines)
    assert any(" DEBUG evaluator.datasets.load: dataset " in line for line in lines)
    # the log file keeps earlier messages
    assert "dataset tiny: manifest " in run_painter("-v", "--log-file", log).stderr
    assert log.read_text().splitlines()[: len(lines)] == lines


@pytest.mark.extended
def test_a_verbose_run_shows_debug_messages(run_painter):
    assert "painter 2/2 " in (shown := run_painter().stderr)
    assert "manifest " not in shown
    shown = run_painter("-v").stderr
    assert "painter 2/2 " in shown
    assert "dataset tiny: manifest " in shown


def test_warnings_remain_in_a_quiet_command(tmp_path):
    import nibabel
    import numpy as np

    for folder, names in (("predicted", ("a", "b", "extra")), ("references", ("a", "b"))):
        (tmp_path / folder).mkdir()
        for name in names:
            image = nibabel.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4))
            nibabel.save(image, tmp_path / folder / f"{name}.nii.gz")
    command = ["score", "--prediction", tmp_path / "predicted"]
    command += ["--reference", tmp_path / "references", "--metrics", "dice"]
    warning = "warning: extra: not scored, because it has no reference\n"
    assert umd(*command).stderr == f"{warning}1/2 a\n2/2 b\n"
    assert umd("-q", *command).stderr == warning
    assert umd("-qq", *command).stderr == ""


def test_a_log_file_that_cannot_be_written_is_an_error(tmp_path):
    log = tmp_path / "missing" / "umd.log"
    done = umd("--log-file", log, "data", "list")
    assert done.returncode == 8
    assert done.stderr.startswith(f"umd: could not write {log}: No such file or directory; ")
    assert done.stdout == ""


def test_options_of_messages_stand_before_or_after_the_command():
    command = ["models", "check", "nosuch"]
    before, after = umd("-qq", *command), umd(*command, "-qq")
    assert before.stderr == after.stderr


@pytest.mark.extended
def test_options_after_the_command_count_with_those_before_it(run_painter, tmp_path):
    log = tmp_path / "umd.log"
    project_data = run_painter("-q").stderr
    assert "painter 2/2" not in project_data
    data = tmp_path / "data" / "tiny.toml"
    arguments = ["run", "-m", "painter", "-d", data, "--engine", "local", "--name", "x"]
    done = umd("-q", *arguments, "-v", "--log-file", log)
    assert "painter 2/2" in done.stderr
    text = log.read_text()
    assert text.count(" UTC: ") == 1
    assert "INFO evaluator.cli.progress: painter 2/2 " in text


def test_a_log_file_that_takes_nothing_is_an_error():
    done = umd("data", "list", "--log-file", "/dev/full")
    assert done.returncode == 8
    assert "could not write /dev/full: No space left on device" in done.stderr


def test_a_log_file_that_becomes_full_is_told_once(tmp_path, capsys):
    import logging

    from evaluator.cli.messages import LogFile, shared_console

    shared_console.cache_clear()  # an interrupted test may have left text in its buffer
    handler = LogFile(tmp_path / "umd.log")
    handler.begin("begin")
    handler.stream.close()
    for _ in range(2):
        handler.handle(logging.LogRecord("a", logging.INFO, "f", 1, "text", (), None))
    assert capsys.readouterr().err.count("is not complete: it cannot be written") == 1
