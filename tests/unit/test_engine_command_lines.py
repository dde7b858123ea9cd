"""The command lines of podman and apptainer, and what their answers mean."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.containers.engines import guard, open_engine
from evaluator.containers.engines.apptainer import (
    ApptainerFacts,
    clean_environment,
    parse_version,
    run_argv,
)
from evaluator.containers.engines.command_spec import container_spec, relay_spec
from evaluator.containers.engines.docker_archive import read_archive
from evaluator.containers.engines.image_user import kept_capabilities, numeric_user
from evaluator.containers.engines.podman import (
    PodmanFacts,
    cdi_device,
    create_argv,
    parse_cdi,
    parse_info,
    start_argv,
)
from evaluator.containers.engines.programs import Program, find_program, runtime_folder
from evaluator.containers.engines.relay import Relay
from evaluator.containers.engines.sif_files import SifFiles, full_name
from evaluator.containers.engines.spec import (
    NATIVE_LAYOUT,
    Caller,
    ContainerLayout,
    Limits,
    Workspace,
)
from evaluator.errors import BuildError, EngineUnavailableError, HostError, UserError
from tests.apptainer_standin import parse, write_program

CALLER = Caller(uid=1000, gid=1001, pid=7, host="box", memory=10 * 2**30, started="9")
ROOTFUL = PodmanFacts(
    version="4.3.1", rootless=False, cgroups="v2", controllers=("cpu", "memory", "pids"),
    runtime="crun", storage_driver="overlay", storage="/s", storage_filesystem="extfs",
    selinux=False, memory=2**34, cores=8,
)  # fmt: skip
APPTAINER = ApptainerFacts(program="apptainer", version="1.3.6", can_limit=False)
GC = ContainerLayout(
    root_writable=True, image_user=True, working_dir=None, input_writable=True, cache="/cache"
)


def spec_of(folder="/w", *, layout=None, **more):
    workspace = Workspace(
        input=Path(folder, "in"), output=Path(folder, "out"), cache=Path(folder, "cache")
    )
    limits = Limits(timeout=9, memory=2**30, shm=2**28, output_bytes=2**20, cpus=3.0)
    settings = {"name": "n", "run_id": "r", "interactive": True, "command": ("serve",)} | more
    layouts = {"layout": layout} if layout else {}
    return container_spec("umd/m:1", workspace, limits, CALLER, **layouts, **settings)


def test_the_command_line_of_podman():
    argv = create_argv(spec_of(gpu="GPU-1", volumes=("/data", "/input")), ROOTFUL)
    options = "rw,exec,nosuid,nodev,mode=1777,size=4294967296"
    expected = (
        "create --pull=never --name n --label umd.run=r --label umd.pid=7 --label umd.started=9 "
        "--label umd.host=box --interactive --network=none --http-proxy=false --log-driver=none "
        "--cap-drop=ALL --security-opt=no-new-privileges --read-only --read-only-tmpfs=false "
        "--no-healthcheck --pids-limit=1024 --memory=1073741824 --memory-swap=1073741824 "
        "--cpus=3 --cpu-shares=512 "
        f"--shm-size=268435456 --image-volume=ignore --tmpfs /tmp:{options} "
        f"--tmpfs /data:{options} "
        "--mount type=bind,source=/w/in,destination=/input,ro=true "
        "--mount type=bind,source=/w/out,destination=/output --ulimit fsize=1048576:1048576 "
        "--ulimit core=0:0 --ulimit nofile=4096:4096 --ulimit nproc=1024:1024 --user=1000:1001 "
        "--env HOME=/tmp --env UMD_GPU=GPU-1 --workdir /tmp --device GPU-1 umd/m:1 serve"
    )
    assert " ".join(argv) == expected
    assert start_argv(spec_of()) == [
        "start", "--attach", "--sig-proxy=false", "--interactive", "n",
    ]  # fmt: skip


def test_podman_of_a_user_limits_what_is_delegated_and_maps_users():
    rootless = replace(ROOTFUL, rootless=True, controllers=("memory",), selinux=True)
    argv = create_argv(spec_of(), rootless)
    assert "--memory=1073741824" in argv
    assert "--pids-limit=0" in argv
    assert "--userns=keep-id" in argv
    assert not any(text.startswith("--cpu") for text in argv)
    assert "type=bind,source=/w/out,destination=/output,relabel=shared" in argv
    (sentence,) = rootless.abilities.unlimited(rootless.reason)
    assert sentence == (
        "a model's number of processes and cores cannot be limited here (rootless podman; "
        "controllers delegated to this user: memory)"
    )
    old = replace(rootless, cgroups="v1", controllers=("memory", "pids", "cpu"))
    assert not old.abilities.memory
    assert ROOTFUL.abilities.unlimited(ROOTFUL.reason) == ()


def test_the_layout_of_another_convention_in_podman():
    spec = spec_of(layout=GC, interactive=False, command=("sh", "-c", "a b"))
    argv = create_argv(spec, ROOTFUL)
    assert argv[-4:] == ["umd/m:1", "sh", "-c", "a b"]
    assert "type=bind,source=/w/cache,destination=/cache" in argv
    for text in ("--read-only", "--interactive", "--workdir", "--user=1000:1001"):
        assert text not in argv
    rootless = replace(ROOTFUL, rootless=True)
    for user, expected in (((1000, 5), ["--userns=keep-id:uid=1000,gid=5"]), ((0, 0), [])):
        argv = create_argv(replace(spec, image_user=user), rootless)
        assert [text for text in argv if text.startswith("--userns")] == expected
    probe = replace(spec, entrypoint=("sh", "-c", 'read "x"'), command=())
    assert create_argv(probe, ROOTFUL)[-3:] == [
        "--entrypoint", json.dumps(["sh", "-c", 'read "x"']), "umd/m:1",
    ]  # fmt: skip
    assert [numeric_user(text) for text in ("", "root", "7", "7:8", "app")] == [
        (0, 0), (0, 0), (7, 7), (7, 8), None,
    ]  # fmt: skip


def test_root_of_another_convention_may_write_into_all_of_its_root():
    assert kept_capabilities(GC, (0, 0)) == ("DAC_OVERRIDE",)
    spec = replace(spec_of(layout=GC), capabilities=kept_capabilities(GC, (0, 0)))
    assert [a for a in create_argv(spec, ROOTFUL) if "cap" in a] == [
        "--cap-drop=ALL", "--cap-add=DAC_OVERRIDE",
    ]  # fmt: skip
    # another user, one that is unknown, and models of contract 1 keep none
    for layout, user in ((GC, (1000, 0)), (GC, None), (NATIVE_LAYOUT, (0, 0))):
        assert kept_capabilities(layout, user) == ()


def test_a_relay_shares_the_network_of_its_model():
    relay = Relay(image="umd/base", command=("python3", "-c", "x"), folder=Path("/w/relay"))
    argv = create_argv(relay_spec(relay, "model", CALLER, name="n", run_id="r"), ROOTFUL)
    assert "--network=container:model" in argv
    assert [a for a in argv if "cap-add" in a] == ["--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE"]
    assert argv[-1] == "umd/base"


def test_paths_with_separators():
    assert "/a,b/in:/input:ro" in create_argv(spec_of("/a,b"), ROOTFUL)
    assert "type=bind,source=/a:b/in,destination=/input,ro=true" in create_argv(
        spec_of("/a:b"), ROOTFUL
    )
    for make in (
        lambda: create_argv(spec_of("/a:,b"), ROOTFUL),
        lambda: run_argv(spec_of("/a,b"), APPTAINER, Path("/s")),
    ):
        with pytest.raises(HostError, match="UMD_CACHE"):
            make()
    argv = run_argv(spec_of("/a:b"), APPTAINER, Path("/s"))
    assert "type=bind,source=/a:b/in,destination=/input,ro" in argv


def test_the_command_line_of_apptainer():
    spec = replace(spec_of(gpu="MIG-1", volumes=("/data",)), image="/c/x.sif")
    assert " ".join(run_argv(spec, APPTAINER, Path("/s"))) == (
        "run --containall --net --network none --no-home --home /tmp --no-privs --workdir /s "
        "--pwd /tmp --bind /w/in:/input:ro --bind /w/out:/output:rw --bind /s/volume-0:/data --nv "
        "--env UMD_GPU=MIG-1 --env CUDA_VISIBLE_DEVICES=MIG-1 /c/x.sif serve"
    )
    without = run_argv(
        replace(spec_of(layout=GC), entrypoint=("sh", "-c", "x")),
        replace(APPTAINER, can_limit=True),
        Path("/s"),
    )
    assert without[0] == "exec"
    assert "--nv" not in without
    assert "CUDA_VISIBLE_DEVICES=" in without
    assert "--writable-tmpfs" in without
    assert without[without.index("--memory") :][:6] == [
        "--memory", "1073741824", "--pids-limit", "1024", "--cpus", "3",
    ]  # fmt: skip
    assert without[-5:] == ["umd/m:1", "sh", "-c", "x", "serve"]
    # the stand-in takes the same options, so what it ran is what apptainer would get
    assert parse(without).arguments == ["sh", "-c", "x", "serve"]


def test_what_apptainer_cannot_limit_and_its_environment():
    facts = replace(APPTAINER, has_gpus=True)
    groups, temporary, gpus = facts.abilities.unlimited(facts.reason)
    assert groups.startswith("a model's memory, number of processes and cores cannot be limited")
    assert "/tmp" in temporary
    assert "CUDA_VISIBLE_DEVICES" in gpus
    variables = {"APPTAINER_BIND": "/data", "SINGULARITYENV_X": "1", "APPTAINER_CACHEDIR": "/c"}
    assert clean_environment(variables | {"PATH": "/bin"}) == {
        "APPTAINER_CACHEDIR": "/c", "PATH": "/bin",
        "APPTAINER_NO_EVAL": "1", "SINGULARITY_NO_EVAL": "1",
    }  # fmt: skip
    assert parse_version("apptainer version 1.3.6-1.el9") == "1.3.6-1.el9"
    assert parse_version("singularity-ce version 4.1.0") == "4.1.0"
    assert parse_version("?") == ""


CDI = """---
cdiVersion: 0.5.0
containerEdits:
  hooks:
  - hookName: createContainer
    path: /usr/bin/nvidia-ctk
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: GPU-5c89
kind: nvidia.com/gpu
"""


def test_the_cdi_device_of_a_gpu():
    assert parse_cdi(CDI) == ("0", "GPU-5c89")
    as_json = {"kind": "nvidia.com/gpu", "devices": [{"name": "MIG-1"}, {"name": "all"}]}
    assert parse_cdi(json.dumps(as_json)) == ("MIG-1", "all")
    assert parse_cdi(CDI.replace("nvidia.com/gpu", "other/net")) == ()
    assert cdi_device("GPU-5c89", 0, ("0", "GPU-5c89")) == "nvidia.com/gpu=GPU-5c89"
    assert cdi_device("GPU-7", 1, ("0", "1")) == "nvidia.com/gpu=1"
    with pytest.raises(HostError, match="nvidia-ctk cdi generate"):
        cdi_device("MIG-1", None, ("0", "all"))


def test_an_answer_of_podman_that_cannot_be_read():
    with pytest.raises(HostError, match="podman 4"):
        parse_info('{"host": {}}')


@pytest.mark.parametrize("given", ["missing", "wrong", "open", "good"])
def test_the_runtime_folder_of_a_job_without_a_session(given, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o755 if given == "open" else 0o700)
    named = tmp_path / "none" if given == "wrong" else folder
    variables = {} if given == "missing" else {"XDG_RUNTIME_DIR": str(named)}
    made_folder = tmp_path / "umd-runtime-4242"
    monkeypatch.setattr(Path, "lstat", lambda path: _owned(os.lstat(path)))
    assert runtime_folder(variables, 4242) == (None if given == "good" else made_folder)
    assert runtime_folder(variables, 0) is None


def _owned(facts):
    """The facts of a file as if it belonged to user 4242."""
    values = list(facts)
    values[4] = 4242
    return os.stat_result(values)


def write_archive(path: Path, config: dict, layers: int = 1, images: int = 1) -> str:
    raw = json.dumps(config).encode()
    entry = {"Config": "c.json", "RepoTags": ["umd/m:v1"], "Layers": ["l.tar"] * layers}
    with tarfile.open(path, "w") as archive:
        for name, body in (
            ("manifest.json", json.dumps([entry] * images).encode()),
            ("c.json", raw),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def test_a_sif_file_is_made_once_for_each_digest(tmp_path):
    archive, calls = tmp_path / "image.tar", tmp_path / "calls"
    config = {"architecture": "amd64", "config": {"Labels": {"umd.name": "m"}, "User": "7"}}
    digest = write_archive(archive, config)
    script = tmp_path / "apptainer"
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho sif > "$3"\n')
    script.chmod(0o755)
    files = SifFiles(tmp_path / "sif", Program(command=(str(script),), environment={}))
    assert files.find("umd/m:v1") is None
    assert files.load(archive) == files.load(archive) == digest
    assert len(calls.read_text().splitlines()) == 1
    assert (
        files.find("umd/m:v1") == files.find("docker.io/umd/m:v1") == files.find(digest) == digest
    )
    assert files.config(digest).labels == {"umd.name": "m"}
    assert files.path(digest).read_text() == "sif\n"
    with pytest.raises(UserError, match="by its digest"):
        files.pull("team/model:v3")
    reference = f"team/model@sha256:{'a' * 64}"
    assert files.pull(reference)
    assert f"docker://{reference}" in calls.read_text()
    write_archive(archive, config, images=2)
    with pytest.raises(UserError, match="holds 2 images"):
        files.load(archive)
    script.write_text("#!/bin/sh\necho 'FATAL: no space' >&2\nexit 255\n")
    write_archive(archive, config | {"os": "linux"})
    with pytest.raises(BuildError, match="no space"):
        files.load(archive)
    assert not list((tmp_path / "sif").glob("*.part.sif"))


def test_a_file_that_is_no_archive(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no image of docker save"):
        read_archive(path)
    with tarfile.open(path, "w:xz") as archive:
        info = tarfile.TarInfo("layer.tar")
        info.size = 2**20
        archive.addfile(info, io.BytesIO(os.urandom(info.size)))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="holds no image of docker save"):
        read_archive(path)
    assert [full_name(name) for name in ("a", "localhost/a/b", "r:5/a", "a:t", "a@sha256:0")] == [
        "a:latest", "a/b:latest", "r:5/a:latest", "a:t", "a@sha256:0",
    ]  # fmt: skip


def test_engines_that_are_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, variable in (("podman", "UMD_PODMAN"), ("apptainer", "UMD_APPTAINER")):
        with pytest.raises(EngineUnavailableError, match="no program"):
            open_engine(name)
        monkeypatch.setenv(variable, "/nowhere/x --option")
        with pytest.raises(EngineUnavailableError, match=f"{variable} names"):
            open_engine(name)


def test_a_program_named_by_a_relative_path_is_found_from_every_folder(tmp_path, monkeypatch):
    program = tmp_path / "podman-site"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UMD_PODMAN", "./podman-site --remote=false")
    assert find_program(("podman",), "UMD_PODMAN") == (str(program), "--remote=false")


def test_the_stand_in_is_found_as_apptainer_and_says_what_it_is(tmp_path, monkeypatch):
    write_program(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    engine = open_engine("apptainer")
    assert "standin" in engine.about()["version"]
    assert engine.sweep("r") == engine.orphans() == []


def test_a_guard_ends_what_a_killed_program_leaves(tmp_path):
    """The program registers a process that sleeps, and a stop command, and is killed."""
    stopped, forgotten = tmp_path / "stopped", tmp_path / "forgotten"
    program = f"""
import os, signal, subprocess, sys
sys.path.insert(0, {str(Path(guard.__file__).parents[3])!r})
from evaluator.containers.engines.guard import GUARD
sleeper = subprocess.Popen(["sleep", "300"], start_new_session=True)
GUARD.register("a", stop=["touch", {str(stopped)!r}], group=sleeper.pid)
GUARD.register("b", stop=["touch", {str(forgotten)!r}])
GUARD.forget("b")
print(sleeper.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    sleeper = int(done.stdout)
    end = time.monotonic() + 20
    while (guard.start_of(sleeper) and not _is_zombie(sleeper)) or not stopped.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert not forgotten.exists()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
