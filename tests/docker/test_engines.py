"""One image of 2 MB gives equal masks and scores on every engine; killed runs leave no container.

The program ``apptainer`` is a stand-in over bubblewrap (``tests/apptainer_standin.py``); apptainer
itself is not run.
"""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.containers.engines import open_engine
from evaluator.containers.engines.docker_archive import read_archive
from evaluator.containers.workspace import abandoned_workspaces, remove_workspace
from evaluator.zoo.engine_images import open_image_store
from evaluator.zoo.registered_images import add_image
from tests.apptainer_standin import write_program
from tests.conftest import order, skip_outside_ci
from tests.tiny import make_dataset

#: a mask is 1 where the image is above 52; the image holds int16 from 0 to 255
SCRIPT = r"""#!/bin/sh
set -eu
answer() {
  request="/input/requests/$1.json"
  mkdir -p "/output/$1"
  image=$(grep -o '"path": *"[^"]*"' "$request" | head -n 1 | sed 's/.*"\(.*\)"$/\1/')
  gzip -dc "/input/$image" > /tmp/image.nii
  for target in $(grep -o '"name": *"[^"]*"' "$request" | sed 's/.*"\(.*\)"$/\1/'); do
    {
      head -c 70 /tmp/image.nii
      printf '\002\000\010\000'
      tail -c +75 /tmp/image.nii | head -c 278
      tail -c +353 /tmp/image.nii | tr '\001-\064' '\000' | tr '\065-\377' '\001' |
        xxd -p -c 2 | cut -c 1-2 | xxd -r -p
    } | gzip > "/output/$1/$target.nii.gz"
  done
}
echo "user $(id -u), home $HOME, interfaces: $(ls /sys/class/net 2>/dev/null || echo none)" >&2
(echo x > /x) 2>/dev/null && echo "the root can be written" >&2
(echo x > /input/x) 2>/dev/null && echo "the input can be written" >&2
if [ "${1:-}" = serve ]; then
  echo '{"ready": true}'
  while read -r id; do
    answer "$id"
    [ "$SLOW" = yes ] && sleep 600
    echo "{\"id\": \"$id\", \"targets\": {}}"
  done
else
  for file in /input/requests/*.json; do answer "$(basename "$file" .json)"; done
fi
"""
DOCKERFILE = """FROM scratch
ARG SLOW=no
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin && mkdir -m 1777 /tmp"]
COPY answer.sh /opt/answer.sh
ENV SLOW=${SLOW}
ENTRYPOINT ["/bin/sh", "/opt/answer.sh"]
LABEL umd.contract="1" umd.inputs="CT | PT" umd.prompts="point" umd.session="stdio"
LABEL umd.memory="256MiB" umd.timeout="120"
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory, docker_engine):
    """The search path with the stand-in; all programs that the tests need are there."""
    for name in ("podman", "bwrap", "busybox"):
        if shutil.which(name) is None:
            skip_outside_ci(f"{name} is not installed; .ci/run installs it")
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("program")
    write_program(folder)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    patch.setenv("UMD_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def archives(tmp_path_factory, programs):
    """Files of podman save: ``{"no": ..., "yes": ...}``, the second of a model that hangs."""
    folder = tmp_path_factory.mktemp("image")
    shutil.copy(shutil.which("busybox"), folder / "busybox")
    (folder / "answer.sh").write_text(SCRIPT)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    store = open_image_store("podman")
    files = {}
    for slow in ("no", "yes"):
        name = f"umd/shell-{slow}:1"
        digest = store.build(
            folder, "Dockerfile", name, what="the test image", arguments={"SLOW": slow}
        )
        assert store.describe(name).labels["umd.session"] == "stdio"
        files[slow] = tmp_path_factory.mktemp("saved") / f"{slow}.tar"
        store.save(name, files[slow])
        assert [image.digest for image in read_archive(files[slow])] == [digest]
    return files


@pytest.fixture(scope="module")
def podman_socket(tmp_path_factory, programs):
    """The service of Podman on a new socket."""
    socket = tmp_path_factory.mktemp("podman") / "podman.sock"
    # crun, the default runtime, refuses hosts with hybrid cgroups; runc accepts them
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    service = subprocess.Popen(
        ["podman", *runtime, "system", "service", "--time=0", f"unix://{socket}"],
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 30
    while not socket.exists() and time.monotonic() < end:
        time.sleep(0.1)
    yield f"unix://{socket}"
    service.kill()
    service.wait()


def masks(run):
    """The voxels of all masks of a run, by path: one content has several compressed forms."""
    return {
        mask.file: gzip.decompress(run.masks.content(mask.file))
        for record in run.records()
        for mask in record.masks()
    }


def scores(run):
    """The scores without the run's name."""
    lines = run.path.joinpath("scores.csv").read_text().splitlines()
    return [line.partition(",")[2] for line in lines]


@pytest.mark.podman
@pytest.mark.docker
def test_equal_masks_and_scores_on_every_engine(archives, tmp_path, podman_socket, monkeypatch):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))
    runs = {}
    for engine, batch in [
        ("docker", False),
        ("podman", False),
        ("apptainer", False),
        ("podman-socket", True),
    ]:
        if engine == "podman-socket":
            monkeypatch.setenv("DOCKER_HOST", podman_socket)
        add_image("shell", str(archives["no"]), open_image_store(engine))
        name = f"{engine}-{'batch' if batch else 'session'}"
        runs[name] = order("shell", data, engine=engine, batch=batch, name=name)
    expected = runs["docker-session"]
    assert len(masks(expected)) == 2
    assert "dice" in scores(expected)[1]
    for name, run in runs.items():
        assert masks(run) == masks(expected), name
        assert scores(run) == scores(expected), name
        info = run.info()
        assert (info.engine.name, info.engine.isolates) == (name.rpartition("-")[0], True)
        assert info.identity.image == expected.info().identity.image
        log = (run.path / "model.log").read_text()
        assert "home /tmp" in log, name
        assert "can be written" not in log, name
        assert "eth" not in log
    assert "/tmp" in " ".join(runs["apptainer-session"].info().engine.unlimited)


@pytest.mark.podman
@pytest.mark.docker
@pytest.mark.parametrize("engine", ["podman", "apptainer"])
def test_a_killed_evaluator_leaves_no_container(engine, archives, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    add_image("hangs", str(archives["yes"]), open_image_store(engine))
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    command = ["run", "-m", "hangs", "-d", str(data), "-p", "point-1", "--engine", engine]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("umd"), *command, "--name", "killed"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "runs/killed/model.log"
    wait_until(lambda: log.exists() and "user" in log.read_text(), process)
    assert sleepers()
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        wait_until(lambda: not sleepers())
        assert open_engine(engine).sweep("killed") == []
    finally:
        for folder in abandoned_workspaces():
            remove_workspace(folder)  # with the file systems that are mounted in it


def sleepers() -> list[str]:
    """Processes of the model that hangs."""
    processes = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
        except OSError:
            continue
        if command.startswith(b"/bin/sh\0/opt/answer.sh\0serve"):
            processes.append(folder.name)
    return processes


def wait_until(condition, process=None) -> None:
    """Wait at most a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.1)
