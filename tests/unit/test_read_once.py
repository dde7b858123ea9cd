"""A command that prints a run lists its folder once; anything else looks each time."""

from __future__ import annotations

import os

from evaluator.runs.file_states import file_states
from evaluator.runs.read_once import once, read_once


def names(folder):
    return [name for name, _, _ in file_states(folder, ["records"], ".json")]


def test_a_folder_is_listed_once_within_the_context_and_anew_after_it(tmp_path, monkeypatch):
    path = tmp_path / "records/b.a/CT.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    before = ["records/b.a/CT.json"]
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: listed.append(place) or scandir(place))
    with read_once():
        assert names(tmp_path) == before
        count = len(listed)
        path.with_name("PT.json").write_text("{}")
        assert names(tmp_path) == before
        assert len(listed) == count > 0
        assert list(file_states(tmp_path, ["records"], ".gz")) == []
    assert names(tmp_path) == [*before, "records/b.a/PT.json"]


def test_values_belong_to_their_context(tmp_path):
    values = iter(range(10))
    assert [once("key", lambda: next(values)) for _ in range(2)] == [0, 1]
    with read_once():
        assert [once("key", lambda: next(values)) for _ in range(2)] == [2, 2]
        assert once(("key", tmp_path), lambda: next(values)) == 3
    assert once("key", lambda: next(values)) == 4
