"""The doctor names what keeps an engine of this machine from its work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluator.containers.engines.podman_engine import PodmanDialect
from evaluator.containers.engines.probe import causes_of
from evaluator.containers.engines.programs import Program
from evaluator.doctor import _mask_checks, engines
from evaluator.doctor.findings import Finding, left_behind
from evaluator.volumes import syscall_filter
from tests.unit.test_engine_command_lines import ROOTFUL


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"SecurityOptions": ["name=userns"]}, "userns-remap"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "rootless"),
        ({"SecurityOptions": ["name=selinux"]}, "container_file_t"),
        ({"Name": "elsewhere"}, "runs on elsewhere"),
    ],
)
def test_settings_of_docker_that_hide_folders(info, words):
    (cause,) = causes_of(SimpleNamespace(info=lambda: info))
    assert words in cause


def test_storage_of_podman():
    assert list(engines._podman_storage(ROOTFUL)) == []
    slow = replace(ROOTFUL, storage_driver="vfs", storage_filesystem="nfs4")
    first, second = engines._podman_storage(slow)
    assert "vfs" in first.detail
    assert "nfs4" in second.detail
    assert "graphroot" in second.advice


def test_a_user_of_podman_without_a_range_and_without_a_session(monkeypatch):
    program = Program(command=("podman",), environment={"XDG_RUNTIME_DIR": "/tmp/umd-runtime-7"})
    dialect = PodmanDialect(program, replace(ROOTFUL, rootless=True))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(engines.getpass, "getuser", lambda: "somebody")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "other:100000:65536\n")
    session, ranges = engines._podman_user(dialect.facts, dialect)
    assert "/tmp/umd-runtime-7" in session.detail
    assert "usermod --add-subuids" in ranges.advice
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "somebody:100000:65536\n")
    assert len(list(engines._podman_user(dialect.facts, dialect))) == 1


def test_one_engine_is_enough_unless_the_user_chose_another(monkeypatch):
    missing = Finding(state="missing", what="engine", detail="none")
    answers = Finding(state="ok", what="engine podman", detail="podman")
    monkeypatch.setattr(engines, "_docker", lambda _: [missing])
    monkeypatch.setattr(engines, "_podman", lambda _: [answers])
    monkeypatch.setattr(engines, "_apptainer", list)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    assert [finding.state for finding in engines.engine_findings(sweep=False)] == ["note", "ok"]
    monkeypatch.setenv("DOCKER_CONTEXT", "cluster")
    assert [finding.state for finding in engines.engine_findings(sweep=False)] == ["missing", "ok"]
    monkeypatch.delenv("DOCKER_CONTEXT")
    monkeypatch.setattr(engines, "_podman", lambda _: [replace(answers, state="note")])
    assert engines.engine_findings(sweep=False)[0].state == "missing"


def test_a_machine_without_a_filter_of_system_calls_is_noted(monkeypatch):
    filtered = "Seccomp:" in Path("/proc/self/status").read_text()
    assert syscall_filter.has_filter() == filtered
    assert _mask_checks(is_filtered=True).state == "ok"
    assert "no filter of system calls" in _mask_checks(is_filtered=False).detail
    monkeypatch.setattr(syscall_filter.os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    assert not syscall_filter.filter_calls()


def test_what_killed_evaluators_left():
    assert left_behind("orphans", [], is_removed=True).detail == "none of a run that was killed"
    assert left_behind("orphans", ["a", "b"], is_removed=True).detail == "removed a, b"
    note = left_behind("orphans", ["a"], is_removed=False)
    assert (note.state, note.advice) == ("note", "remove them with: umd doctor --sweep")
