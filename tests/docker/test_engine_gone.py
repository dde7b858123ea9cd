"""The engine stops during a run: the host has the error, and the same command resumes the run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import skip_outside_ci
from tests.tiny import PAINTER, make_dataset

SLOW = "import time\n" + PAINTER.replace(
    "        def paint(", "        time.sleep(0.3)\n        def paint("
)
REAL = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


class SocketProxy:
    """A socket in front of the socket of the engine. It can be closed."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(REAL)
            self._open += [client, engine]
            for source, sink in ((client, engine), (engine, client)):
                self._pumps.append(
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True)
                )
                self._pumps[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join(10)
        for connection in self._open:
            connection.close()


@pytest.mark.docker
def test_a_run_resumes_after_the_engine_stopped(project, tmp_path, docker_engine):
    if "://" in REAL:
        skip_outside_ci("the engine is not on this machine")
    project({"slow": SLOW})
    data = make_dataset(tmp_path / "data", list("abcdef"))
    command = [
        Path(sys.executable).with_name("umd"),
        "run",
        "-m",
        "slow",
        "-d",
        data,
        "-p",
        "point-1",
        "--name",
        "gone",
    ]
    environment = os.environ | {"UMD_RUNS": str(tmp_path / "r")}
    proxy = SocketProxy(tmp_path / "proxy.sock")
    proxied = environment | {"DOCKER_HOST": f"unix://{tmp_path}/proxy.sock"}
    process = subprocess.Popen(
        command, env=proxied, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.rstrip().endswith(": done"):
            break
    proxy.close()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 8, stderr
    assert "nothing is lost" in stderr
    assert "Traceback" not in stderr
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ": done before" in done.stderr
    assert "12 ok" in done.stdout
    assert docker_engine._labelled("umd.run=gone") == []
