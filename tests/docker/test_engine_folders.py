"""Engines that see other files, or whose containers may not write, are refused with the cause.

Each test starts a Docker Engine of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from evaluator.zoo.base_images import _content
from tests.conftest import skip_outside_ci
from tests.tiny import PAINTER, make_dataset

READY_SECONDS = 90


@contextlib.contextmanager
def own_engine(image: str, *options: str, before: str = "true"):
    """A second dockerd with an image of the first one and its base; yields its address."""
    missing = [name for name in ("dockerd", "unshare", "mount") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        skip_outside_ci(f"a second engine needs root and {', '.join(missing) or 'nothing else'}")
    # the path of a socket has at most 107 characters, so the test's own folder is too deep
    folder = Path(tempfile.mkdtemp(prefix="umd-", dir="/tmp"))
    folder.chmod(0o755)  # a mapped root must enter it
    try:
        engine, address = _start(folder, options, before)
        try:
            _load(address, image)
            yield address
        finally:
            engine.terminate()
            engine.wait(60)
    finally:
        # a dockerd that was killed leaves the mounts of its layers
        subprocess.run(["sh", "-c", f"umount -l {folder}/*/data/*/* 2> /dev/null"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, options: tuple[str, ...], before: str):
    """Start dockerd with its usual storage, else with plain copies, which need no overlay mounts.

    Fails in CI, and skips elsewhere, with what each of them said.
    """
    causes = []
    for storage in ("overlay2", "vfs"):
        place = folder / storage
        place.mkdir(mode=0o755)
        address = f"unix://{place}/e.sock"
        daemon = [
            *("dockerd", "--data-root", place / "data", "--exec-root", place / "exec"),
            *("--pidfile", place / "pid", "-H", address, "--storage-driver", storage),
            # nothing of the machine's network or of the other engine's containers is touched
            *("--bridge=none", "--iptables=false", "--ip6tables=false"),
            *("--containerd-namespace", folder.name, "--containerd-plugins-namespace"),
            *(f"{folder.name}-plugins", "--config-file", place / "none.json", *options),
        ]
        (place / "none.json").write_text("{}")
        start = f"mount --make-rprivate / && {before} && exec {shlex.join(map(str, daemon))}"
        with (place / "log").open("w") as log:
            engine = subprocess.Popen(["unshare", "-m", "sh", "-c", start], stdout=log, stderr=log)
        if _answers(address, engine):
            return engine, address
        engine.kill()
        engine.wait()
        causes.append(f"with {storage}: {_cause(place / 'log')}")
    return skip_outside_ci(f"no second dockerd can be started on this machine; {'; '.join(causes)}")


def _answers(address: str, engine: subprocess.Popen) -> bool:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and engine.poll() is None:
        asked = subprocess.run(
            ["docker", "-H", address, "version"], capture_output=True, check=False
        )
        if asked.returncode == 0:
            return True
        time.sleep(0.2)
    return False


def _cause(log: Path) -> str:
    """Why dockerd ended: its errors, else its last line, else that it did not answer."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    grave = [line for line in lines if "failed to start daemon" in line or "level=fatal" in line]
    return " | ".join(grave or lines[-2:]) or f"no answer in {READY_SECONDS} s and no message"


def _load(address: str, image: str) -> None:
    base = f"umd/base:{_content('base', 'cpu')[:16]}"
    saved = subprocess.Popen(["docker", "save", image, base], stdout=subprocess.PIPE)
    loaded = subprocess.run(
        ["docker", "-H", address, "load"],
        stdin=saved.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    saved.stdout.close()
    saved.wait()
    assert loaded.returncode == 0, f"the second dockerd loads no image: {loaded.stderr}"
    subprocess.run(["docker", "-H", address, "tag", base, "umd/base:latest"], check=True)


def umd(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("umd"), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def painter(project, tmp_path, docker_engine):
    """A built model and data: ``(image, arguments of umd run)``."""
    from evaluator.zoo import ensure_image, find_model

    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    image = ensure_image(find_model("painter")).reference
    return image, ["run", "-m", "painter", "-d", data, "-p", "point-1", "--engine", "docker"]


def refused(done, *words: str) -> None:
    """The run or the doctor names the cause, and no prediction was recorded."""
    text = done.stdout + done.stderr
    assert done.returncode in (1, 8), text
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert "Predictions" not in text


@pytest.mark.docker
@pytest.mark.extended
def test_an_engine_that_sees_other_files_is_refused(painter, tmp_path):
    image, run = painter
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    before = f"mount -t tmpfs tmpfs {hidden}"
    with own_engine(image, before=before) as address:
        here = {"DOCKER_HOST": address, "UMD_CACHE": str(hidden / "cache")}
        refused(umd(*run, **here), "does not see the evaluator's folder", address)
        refused(umd("doctor", **here), "does not see the evaluator's folder")
        assert not list((tmp_path / "runs").glob("*/records/*/*"))
        # it sees the cache now, but no file system that the evaluator mounts later
        done = umd(*run, DOCKER_HOST=address)
        assert done.returncode == 0, done.stderr
        assert "1 ok" in done.stdout
        (info,) = (tmp_path / "runs").glob("*/run.json")
        assert json.loads(info.read_text())["limits"]["output_limit"].startswith("watched: ")


@pytest.mark.docker
@pytest.mark.extended
def test_an_engine_that_maps_users_is_refused(painter):
    image, run = painter
    engine = own_engine(image, "--userns-remap=default")
    with engine as address:
        here = {"DOCKER_HOST": address}
        refused(umd(*run, **here), "userns-remap", "cannot write")
        refused(umd("doctor", **here), "userns-remap")


@pytest.mark.docker
def test_a_cache_whose_path_holds_a_colon_can_be_used(painter, tmp_path):
    _, run = painter
    done = umd(*run, UMD_CACHE=str(tmp_path / "2026-11-28T10:00,a #1" / "cache"))
    assert done.returncode == 0, done.stderr
    assert "1 ok" in done.stdout


@pytest.mark.docker
def test_an_engine_that_is_down_is_told_with_its_address(painter, tmp_path):
    _, run = painter
    done = umd(*run, DOCKER_HOST=f"unix://{tmp_path}/lab-engine.sock")
    assert done.returncode == 6
    assert "lab-engine.sock, from DOCKER_HOST" in done.stderr
    done = umd(*run, DOCKER_CONTEXT="nosuch", DOCKER_HOST="", DOCKER_CONFIG=str(tmp_path))
    assert done.returncode == 6
    assert "there is no Docker context 'nosuch'" in done.stderr


@pytest.mark.docker
def test_the_doctor_finds_that_containers_use_the_folders(painter, docker_engine):
    done = umd("doctor")
    assert "folders in containers: a container reads and writes" in done.stdout
