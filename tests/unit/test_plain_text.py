"""Text of strangers is harmless wherever it is stored or shown."""

from __future__ import annotations

import itertools
import json
import logging
import os
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.cli.main import main
from evaluator.containers.engines.process_output import Lines, LogFile
from evaluator.containers.replies import clean_reply
from evaluator.files import csv_bytes, read_json
from evaluator.plain_text import clean_json, clean_text, readable_name, without_formula
from evaluator.types import Failure, Status
from tests.command import umd
from tests.conftest import order
from tests.tiny import make_dataset
from zoo_sdk.wire import parse_reply


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain, Größe µ 肝 \U0001fac0\n\tline", "plain, Größe µ 肝 \U0001fac0\n\tline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("a\x00b\x08c\x7f\x9bd", "abc"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("over\rwritten\r\nnext", "overwritten\nnext"),
    ],
)
def test_what_is_removed_and_what_stays(text, clean):
    assert clean_text(text) == clean


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_cleaned_text_can_be_written_and_has_no_control_characters(text):
    clean = clean_text(text, 100)
    clean.encode()
    assert len(clean) <= 100
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in clean)
    assert "\u202e" not in clean
    assert clean_text(clean, 100) == clean


def test_the_detail_of_a_failure_is_cleaned_and_bounded():
    failure = Failure(status=Status.ERROR, detail="\x1b[2J" + "x" * 5000 + "\ud800")
    assert len(failure.detail) == 2000
    assert failure.detail.startswith("xxx")


def test_a_reply_is_cleaned_and_bounded():
    body = {
        "id": "r",
        "targets": {
            "li\u202ever": {"status": "error", "kind": "\x1b[1mk", "message": "\ud800" * 9999}
        },
        "seconds": {"in\x07fer": 1.5},
        "notes": {"a\ud800": ["\x1b[31mx"]},
    }
    reply = clean_reply(parse_reply(body))
    assert reply.targets["liver"].kind == "k"
    assert len(reply.targets["liver"].message) == 2000
    assert reply.seconds == {"infer": 1.5}
    assert reply.notes == {"a\N{REPLACEMENT CHARACTER}": ["x"]}
    large = clean_reply(parse_reply({"id": "r", "notes": {"a": "x" * 900_000}}))
    assert "900" in large.notes["left-out"]
    assert clean_json({"a": [[[1]]]}) == {"a": [[[1]]]}


def test_a_log_has_no_escape_sequences_and_keeps_characters_cut_in_two(tmp_path):
    log = LogFile(tmp_path / "log")
    log.write("\x1b[31mGröße".encode()[:-3])
    log.write("Größe\x1b[0m\n".encode()[-8:])
    log.write(b"\xff\n")
    assert "\x1b" not in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().startswith("Gr\u00f6")
    assert "\x1b" not in log.tail()


def test_lines_that_nobody_reads_take_bounded_memory():
    lines = Lines()
    for _ in range(1000):
        lines.feed(b"x" * 100_000 + b"\n")
    waiting = lines._queue.qsize()
    assert 100 < waiting <= 2**24 // 100_000
    assert lines.next(0.1) == "x" * 100_000
    lines.feed(b"after\n")
    assert lines._queue.qsize() == waiting


def test_a_cell_that_would_be_a_formula_begins_with_a_quote():
    frame = pd.DataFrame(
        {"a": ["=HYPERLINK(1)", "-1.5", "liver", "@x"], "b": [-1.0, 2.0, 3.0, 4.0]}
    )
    lines = csv_bytes(frame).decode().splitlines()
    assert lines == ["a,b", "'=HYPERLINK(1),-1.0", "-1.5,2.0", "liver,3.0", "'@x,4.0"]
    assert without_formula("+cmd|x") == "'+cmd|x"


def test_a_record_of_an_earlier_version_with_a_surrogate_is_read(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"detail": "a\ud800b", "heart": "\U0001fac0"}))
    assert read_json(path) == {"detail": "a?b", "heart": "\U0001fac0"}


SURROGATE = """
from zoo_sdk import Prediction, Unsupported

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        return Prediction({"liver": Unsupported("\\x1b[31m=a \\ud800 \\u202e")}, {"n": "\\ud800"})
"""


def test_one_models_text_does_not_stop_a_run(project, tmp_path, monkeypatch):
    project({"surrogate": SURROGATE})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    odd = tmp_path / os.fsdecode(b"x\xffy")
    monkeypatch.setenv("UMD_RUNS", str(odd / "runs"))
    run = order("surrogate", data, engine="local")
    assert umd("show", run.path).returncode == 0
    (record,) = run.records()
    assert record.rounds[0].targets["liver"].detail == "=a \N{REPLACEMENT CHARACTER} "
    assert (run.path / "predictions.parquet").is_file()


@pytest.mark.parametrize("option", ["-d", "-p", "--name", "--data-root"])
def test_a_run_that_could_not_be_recorded_is_refused(option, tmp_path):
    text = str(tmp_path / os.fsdecode(b"x\xffy.toml"))
    words = {"-m": "ellipsoid", "-d": "phantom-toy", "--engine": "local"} | {option: text}
    ended = umd("run", *itertools.chain(*words.items()))
    assert ended.returncode == 2
    assert f"{option} " in ended.stderr
    assert "is no UTF-8" in ended.stderr


ODD = os.fsdecode(b"x\xffy")


def test_names_of_bytes_that_are_no_text_stay_different_and_can_be_written():
    assert readable_name(ODD) == "x\\xffy"
    assert readable_name(os.fsdecode(b"x\xfey")) != readable_name(ODD)
    assert readable_name("肝 é") == "肝 é"


def close_log_files():
    logger = logging.getLogger("evaluator")
    for handler in [each for each in logger.handlers if isinstance(each, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def test_the_command_line_may_hold_such_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["umd", ODD])
    assert umd("--log-file", tmp_path / ODD, "organs", "liver").returncode == 0
    close_log_files()
    assert "x\\udcffy" in (tmp_path / ODD).read_text()
    ended = umd("models", "add", "x", "--image", ODD, "--contract", "cvpr25")
    assert "--image x\\xffy: character 2 is no UTF-8" in ended.stderr


def test_such_a_name_is_a_fault_of_the_user_wherever_it_arrives(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["umd", "organs"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("evaluator.cli.main.umd", lambda **_: ODD.encode())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "x\\xffy: a name of bytes that are no UTF-8" in capsys.readouterr().err
