"""Which containers a run that begins may remove: none of a run that lives beside it."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest

from evaluator.containers.engines.command_engine import CommandLineEngine
from evaluator.containers.engines.dialect import ListedContainer
from evaluator.containers.engines.docker import DockerEngine
from evaluator.containers.engines.orphans import is_orphan
from evaluator.containers.engines.podman import parse_containers
from evaluator.containers.engines.spec import Caller, container_labels
from evaluator.containers.invoke_session import RelayedProcess
from evaluator.errors import HostError

NOW = time.time()
LIVING = container_labels(Caller.this_process(), "this")
GONE = LIVING | {"umd.pid": "999999999"}
#: name -> labels, and the age in seconds
CONTAINERS = {
    "beside": (LIVING | {"umd.run": "other"}, 9000),
    "same-run-of-a-living-one": (LIVING, 9000),
    "left": (GONE, 1),
    "left-by-another": (GONE | {"umd.run": "other"}, 9000),
    "just-left-by-another": (GONE | {"umd.run": "other"}, 1),
    "elsewhere": (GONE | {"umd.host": "another-machine"}, 9000),
    "number-used-again": (LIVING | {"umd.started": "1"}, 9000),
    "age-unknown": (GONE | {"umd.run": "other"}, None),
}
SWEPT = ["left", "left-by-another", "number-used-again"]
ORPHANS = [*SWEPT, "just-left-by-another", "age-unknown"]


def docker_with(removed):
    def container(name, labels, age):
        created = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(NOW - (age or 0)))
        return SimpleNamespace(
            name=name,
            labels=labels,
            attrs={"Created": created} if age else {},
            remove=lambda **_: removed.append(name),
        )

    listed = [container(name, *facts) for name, facts in CONTAINERS.items()]
    client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: listed))
    return DockerEngine(client, podman=False)


def podman_with(removed):
    def created(age):
        return {} if age is None else {"Created": int(NOW - age)}

    answer = json.dumps(
        [
            {"Names": [name], "Labels": labels} | created(age)
            for name, (labels, age) in CONTAINERS.items()
        ]
    )
    dialect = SimpleNamespace(
        name="podman", containers=lambda: parse_containers(answer), remove=removed.append
    )
    return CommandLineEngine(dialect)


@pytest.mark.parametrize("engine_with", [docker_with, podman_with])
def test_a_run_that_begins_removes_what_is_left_and_nothing_that_lives(engine_with, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    removed = []
    engine = engine_with(removed)
    assert sorted(engine.sweep("this")) == sorted(removed) == sorted(SWEPT)
    assert sorted(engine.orphans()) == sorted(ORPHANS)
    assert sorted(engine.remove_orphans()) == sorted(ORPHANS)


def test_labels_that_cannot_be_read():
    assert not is_orphan({})
    assert is_orphan({"umd.host": os.uname().nodename})
    assert is_orphan(GONE | {"umd.pid": "none"})


def test_an_empty_answer_of_podman():
    assert parse_containers("") == parse_containers("null") == []
    (container,) = parse_containers('[{"Names": ["a"], "Labels": null, "Created": "new"}]')
    assert container == ListedContainer(name="a", labels={})


def test_a_relay_ends_even_if_its_model_cannot_be_ended():
    ended = []

    def fail():
        raise HostError("the engine is gone")

    process = RelayedProcess(
        SimpleNamespace(kill=fail), SimpleNamespace(kill=lambda: ended.append("relay"))
    )
    with pytest.raises(HostError):
        process.kill()
    assert ended == ["relay"]
