"""The page about machines without a network: its lines exist, and those that run need none."""

from __future__ import annotations

import re
import shlex
import socket

import pytest
from click.testing import CliRunner

from evaluator.cli.main import umd
from tests.tiny import PAINTER, ROOT, make_dataset

PAGE = ROOT / "docs" / "air-gapped.md"


def page_lines() -> list[list[str]]:
    """The words of each line that the page tells its reader to type, without the program."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line.removeprefix("$ "))[1:] for line in "".join(blocks).splitlines()]


@pytest.fixture
def no_network(monkeypatch):
    """Refuse every connection but those of this machine's files (Unix sockets)."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("a connection to a network was begun")

    connect = socket.socket.connect

    def connect_to_file(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX:
            refuse()
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_to_file)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(OSError, match="was begun"):
        socket.create_connection(("127.0.0.1", 9))


def test_lines_about_images_name_commands_and_options_that_exist():
    lines = [words for words in page_lines() if words[0] == "models"]
    assert [words[1] for words in lines] == ["save", "load", "fetch", "build"]
    for words in lines:
        group = umd.get_command(None, words[0])
        command = group.get_command(None, words[1])
        command.make_context(words[1], words[2:])  # raises for what does not exist


@pytest.mark.usefixtures("no_network")
def test_a_run_needs_no_network(project, tmp_path, monkeypatch):
    project({"mine": PAINTER})
    make_dataset(tmp_path / "data", ["a", "b"], ("CT",))
    monkeypatch.chdir(tmp_path)
    lines = [words for words in page_lines() if words[0] != "models"]
    assert [words[0] for words in lines] == ["data", "run", "show"]
    outputs = []
    for words in lines:
        answer = CliRunner().invoke(umd, words)
        # the values of the images are not Hounsfield units, which is a warning
        expected = 1 if words[0] == "data" else 0
        assert answer.exit_code == expected, (words, answer.output, answer.exception)
        outputs.append(answer.output)
    assert "0 errors" in outputs[0]
    assert "liver" in outputs[2]
