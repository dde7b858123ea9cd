"""A command never writes over a file of the user's, only over its own earlier output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluator.cli.messages import check_log_file
from evaluator.errors import UserError
from evaluator.files import check_replaceable, write_results
from evaluator.report.single_page import PAGE_BEGINNING
from tests.command import umd

TEMPLATE = Path(__file__).parents[2] / "evaluator/report/templates/base.html"
OTHERS = [b"name,age\ns1,61\n", b'name = "petct"\n', b'{"liver": 1}', b"<!doctype html>\n<p>mine"]


@pytest.mark.parametrize("content", OTHERS)
@pytest.mark.parametrize(
    "command",
    [
        ("data", "card", "phantom", "-o"),
        ("data", "verify", "phantom", "-o"),
        ("data", "verify", "phantom", "--html"),
    ],
)
def test_an_output_that_is_something_else_is_kept(tmp_path, command, content):
    file = tmp_path / "mine"
    file.write_bytes(content)
    done = umd(*command, file)
    assert (done.returncode, file.read_bytes()) == (2, content)
    assert "holds something else" in done.stderr
    assert umd(*command, tmp_path).returncode == 2


@pytest.mark.parametrize("content", OTHERS)
def test_a_log_is_not_appended_to_another_file(tmp_path, content):
    file = tmp_path / "case.tsv"
    file.write_bytes(content)
    done = umd("organs", "--log-file", file)
    assert (done.returncode, file.read_bytes()) == (2, content)
    assert "is no log" in done.stderr
    batch_systems, earlier = tmp_path / "slurm-1.out", tmp_path / "umd.txt"
    batch_systems.write_bytes(content)
    earlier.write_text("2026-11-29 08:00:00 UTC: umd organs\n")
    for path in (batch_systems, earlier, tmp_path / "new.txt", Path("/dev/null")):
        check_log_file(path)


def test_earlier_results_are_replaced_and_nothing_is_written_beside_another_file(tmp_path):
    first = {tmp_path / "a.csv": b"dataset,protocol,dice\nx,box,1\n"}
    write_results(first)
    write_results({tmp_path / "a.csv": b"dataset,protocol,dice\nx,box,0\n"})
    (tmp_path / "b.csv").write_bytes(b"mine\n")
    with pytest.raises(UserError, match=r"b\.csv exists and holds something else"):
        write_results({tmp_path / name: first[tmp_path / "a.csv"] for name in ("a.csv", "b.csv")})
    assert (tmp_path / "a.csv").read_bytes().endswith(b"0\n")
    assert (tmp_path / "b.csv").read_bytes() == b"mine\n"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    """As root, -o /dev/null once made a file of the device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_results({pipe: b"dataset,protocol,dice\n"})
        assert pipe.is_fifo()
        assert os.read(reader, 100) == b"dataset,protocol,dice\n"
    finally:
        os.close(reader)


def test_pages_begin_with_what_is_looked_for(tmp_path):
    assert TEMPLATE.read_bytes().startswith(PAGE_BEGINNING)
    (tmp_path / "page.html").write_bytes(PAGE_BEGINNING + b"<title>")
    check_replaceable(tmp_path / "page.html", PAGE_BEGINNING)
    check_replaceable(Path("/dev/null"), PAGE_BEGINNING)
