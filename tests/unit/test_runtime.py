"""``--runtime``: which program starts the containers, and what an engine without it says."""

from __future__ import annotations

import json
from types import SimpleNamespace

import docker
import pytest
from click.testing import CliRunner

from evaluator.challenges.opening import init_challenge
from evaluator.challenges.worker import Worker
from evaluator.cli.challenge import challenge
from evaluator.containers.engines import open_engine
from evaluator.containers.engines.docker import DockerEngine
from evaluator.containers.engines.podman_engine import PodmanDialect
from evaluator.errors import EngineUnavailableError, UserError
from evaluator.evaluation.provenance import arguments_of
from evaluator.evaluation.run_config import RunConfig
from evaluator.runs.run_info import EngineInfo


class Client:
    """Docker's client with two runtimes, which keeps what containers are created with."""

    def __init__(self, **_options) -> None:
        self.created: list[dict[str, object]] = []
        self.closed = False
        self.containers = SimpleNamespace(create=self._create)

    def _create(self, **arguments):
        self.created.append(arguments)
        return SimpleNamespace()

    def close(self):
        self.closed = True

    def version(self):
        return {"Version": "27", "Components": [{"Name": "Engine"}]}

    def info(self):
        return {"Runtimes": {"runc": {}, "runsc": {"path": "/usr/bin/runsc"}}}


@pytest.fixture
def clients(monkeypatch):
    """The clients that are opened, all of an engine of another machine: no socket is tried."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.invalid:2375")
    opened: list[Client] = []
    monkeypatch.setattr(docker, "DockerClient", lambda **_: opened.append(Client()) or opened[-1])
    return opened


@pytest.mark.parametrize(("runtime", "expected"), [("runsc", "runsc"), (None, None)])
@pytest.mark.usefixtures("clients")
def test_docker_gets_the_runtime_of_each_container(runtime, expected):
    engine = open_engine("docker", runtime)
    assert isinstance(engine, DockerEngine)
    typed = dict.fromkeys(("ulimits", "device_requests", "mounts"), ())
    engine._create({"image": "x", "log_config": {}} | typed)
    assert engine.client.created[0].get("runtime") == expected


def test_docker_says_how_a_runtime_is_named(clients):
    with pytest.raises(EngineUnavailableError, match=r"no runtime kata; .*runc, runsc") as caught:
        open_engine("docker", "kata")
    line = str(caught.value).splitlines()[-1].strip()
    assert json.loads(line) == {"runtimes": {"kata": {"path": "/usr/bin/kata"}}}
    assert [client.closed for client in clients] == [True]


PODMAN = """#!/bin/sh
case "$*" in
*"--runtime nosuch"*) echo 'Error: default OCI runtime "nosuch" not found' >&2; exit 125;;
*info*) cat "$(dirname "$0")/info.json";;
esac
"""


@pytest.fixture
def podman(tmp_path, monkeypatch):
    """A program that answers as podman does to ``info``."""
    host = {
        "arch": "amd64",
        "cgroupVersion": "v2",
        "cgroupControllers": ["cpu", "memory", "pids"],
        "cpus": 2,
        "memTotal": 2**33,
        "ociRuntime": {"name": "crun"},
        "security": {"rootless": False},
    }
    body = {
        "host": host,
        "store": {"graphDriverName": "overlay", "graphRoot": "/g"},
        "version": {"Version": "4.3.1"},
    }
    (tmp_path / "info.json").write_text(json.dumps(body))
    program = tmp_path / "podman"
    program.write_text(PODMAN)
    program.chmod(0o755)
    monkeypatch.setenv("UMD_PODMAN", str(program))


def test_podman_gets_the_runtime_in_every_call(podman):
    dialect = PodmanDialect.connect(runtime="runsc")
    assert dialect.program.argv(["create", "x"])[1:] == ["--runtime", "runsc", "create", "x"]
    assert dialect.runtime == "runsc"
    assert PodmanDialect.connect().program.argv(["create"])[1:] == ["create"]
    with pytest.raises(EngineUnavailableError, match=r"runtime nosuch: .*containers\.conf"):
        open_engine("podman", "nosuch")


@pytest.mark.parametrize("engine", ["local", "apptainer", "podman-socket"])
def test_engines_without_a_choice_refuse(engine):
    with pytest.raises(UserError, match="no choice of runtimes"):
        open_engine(engine, "runsc")


def test_a_run_keeps_its_runtime():
    config = RunConfig(model="m", dataset="d", runtime="runsc")
    words = arguments_of(config)
    assert words[words.index("--runtime") + 1] == "runsc"
    first = EngineInfo(name="docker", runtime="runsc", isolates=True)
    assert first.also(first).runtime == "runsc"
    assert first.also(EngineInfo(name="docker", isolates=True)).runtime == ""


@pytest.mark.usefixtures("clients")
def test_a_worker_hands_the_runtime_on_and_checks_it_first(tmp_path, monkeypatch):
    folder = init_challenge(tmp_path / "c").path
    words = ["work", "-c", str(folder), "--until-empty", "--runtime", "runsc"]
    refused = CliRunner().invoke(challenge, words)
    assert isinstance(refused.exception, UserError)
    definition = folder / "challenge.toml"
    definition.write_text(definition.read_text().replace('"local"', '"docker"'))
    seen = []
    monkeypatch.setattr(Worker, "run", lambda worker: seen.append(worker.options.runtime) or 0)
    assert CliRunner().invoke(challenge, words).exit_code == 0
    assert seen == ["runsc"]
