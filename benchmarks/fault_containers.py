"""Faults of containers and of their engine, for ``benchmarks/faults.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults import MODEL, NAME, PATIENCE, Bench


def containers(*options: str) -> list[str]:
    """The running containers of the run."""
    words = ["docker", *options, "ps", "-q", "--filter", f"label=umd.run={NAME}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def container_killed(bench: Bench) -> bool:
    """The model's container is killed by somebody else."""
    bench.engine = "docker"
    process = bench.begin()
    bench.wait_for_records(1)
    hit = containers()
    subprocess.run(["docker", "kill", *hit], capture_output=True, check=True)
    return bench.end(process) == 0 and bool(hit)


def engine_killed(bench: Bench) -> bool:
    """A Docker daemon of this bench is killed with its containers, and started again."""
    bench.engine = "docker"
    folder = bench.folder / "dockerd"
    with private_daemon(folder) as daemon:
        bench.variables = {**bench.variables, "DOCKER_HOST": daemon.host}
        daemon.take_image(f"umd/{MODEL}")
        process = bench.begin()
        bench.wait_for_records(1)
        daemon.kill()
        status = bench.end(process)
        daemon.start()
        again = bench.call()
        return (status, again) == (8, 0)


class Daemon:
    """A second Docker daemon with folders of its own, without a network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)
        words = [
            "dockerd",
            "--data-root",
            self.folder / "data",
            "--exec-root",
            self.folder / "exec",
        ]
        words += ["--pidfile", self.folder / "pid", "-H", self.host]
        words += ["--bridge=none", "--iptables=false"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(["docker", "-H", self.host, "info"], capture_output=True).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the daemon and all that it started."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """End in order, with all containers, and unmount what is left."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", place], check=False)

    def take_image(self, name: str) -> None:
        """Copy an image of the machine's usual daemon."""
        saved = subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "-H", self.host, "load"], stdin=saved.stdout, check=True, capture_output=True
        )
        if saved.wait():
            raise ChildProcessError(f"docker save {name}")


@contextmanager
def private_daemon(folder: Path) -> Iterator[Daemon]:
    """A daemon that is ended with the block."""
    daemon = Daemon(folder)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.end()
