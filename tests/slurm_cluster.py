"""A real Slurm of two nodes on this machine, in its own namespaces (``slurm_cluster.sh``)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip_outside_ci

SCRIPT = Path(__file__).with_suffix(".sh")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Cluster:
    """Slurm that runs; commands are executed inside of its namespaces."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder, self._process = folder, process

    def call(self, *words, env: Mapping[str, str] | None = None, folder=None, check=True) -> Answer:
        """Execute a command on the login node."""
        options = ["--chdir", folder] if folder else []
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        setting = [f"{name}={value}" for name, value in (env or {}).items()]
        line = shlex.join(["env", *map(str, options), *setting, *map(str, words)])
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline()
        assert status, "Slurm's namespaces have ended"
        answer = Answer(
            int(status), (self.folder / "out").read_text(), (self.folder / "err").read_text()
        )
        if check:
            assert answer.returncode == 0, f"{line}: {answer.stdout}{answer.stderr}"
        return answer

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: {self.queue()}")
            time.sleep(0.1)

    def queue(self, *, states: str = "all") -> list[list[str]]:
        """Job, state, reason and node of each task."""
        lines = self.call("squeue", "-h", "-r", f"--states={states}", "-o", "%i|%j|%T|%r|%N").stdout
        return [line.split("|") for line in lines.splitlines()]

    def wait_until_idle(self, seconds: float = 240) -> None:
        """Wait until no task waits or runs."""
        self.wait_for(lambda: not self.queue(states="PD,R,CG,CF"), "tasks do not end", seconds)


@contextmanager
def slurm_cluster() -> Iterator[Cluster]:
    """Start Slurm; it ends with the block."""
    if os.geteuid() or shutil.which("slurmctld") is None or shutil.which("munged") is None:
        skip_outside_ci("needs root and Debian's slurm-wlm and munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--net"]
    process = subprocess.Popen(
        [*words, "--mount-proc", "bash", str(SCRIPT), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready", (folder / "log").exists()
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield Cluster(folder, process)
    finally:
        os.environ.pop("SLURM_CONF", None)
        process.kill()
        process.wait(30)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        shutil.rmtree(folder, ignore_errors=True)
