"""A finished run is resumed by the states of its files; every change of a file is still seen."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from evaluator import files as files_module
from evaluator.datasets import load_dataset
from evaluator.datasets.stored_hashes import SETTLED_SECONDS
from evaluator.datasets.verify import check_cases
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.files import file_sha256
from evaluator.runs.file_states import file_states
from evaluator.runs.store import RunStore
from evaluator.volumes import write_volume
from tests.tiny import GRIDS, PAINTER, make_dataset


@pytest.fixture
def config(project, tmp_path, monkeypatch) -> RunConfig:
    project({"painter": PAINTER})
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    return RunConfig(model="painter", dataset=str(data), protocol="box", engine="local", recheck=0)


def test_a_finished_run_is_not_read_again(config, monkeypatch):
    run = execute(resolve(config))
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.*")}

    def read(*_):
        raise AssertionError("a record was read")

    monkeypatch.setattr(RunStore, "record", read)
    monkeypatch.setattr(RunStore, "records", read)
    ends = []
    resolved = resolve(config)
    assert resolved.finished == {"a.a", "b.a"}
    execute(resolved, progress=lambda *end: ends.append(end))
    assert ends == [(n, 4, f"{case}.a {name}: done before") for n, (case, name) in enumerate(
        [("a", "CT"), ("a", "PT"), ("b", "CT"), ("b", "PT")], 1)]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*.*")} == before


def test_a_torn_table_of_a_finished_run_is_written_again(config):
    run = execute(resolve(config))
    table = run.path / "scores.csv"
    body = table.read_bytes()
    table.write_bytes(body[: len(body) // 2])
    execute(resolve(config))
    assert table.read_bytes() == body


def test_a_change_of_the_run_or_of_the_data_is_seen(config, tmp_path):
    run = execute(resolve(config))
    score = run.score_path("b.a", "PT")
    body = score.read_bytes()
    score.unlink()
    assert resolve(config).finished == frozenset()
    execute(resolve(config))
    assert score.read_bytes() == body
    assert len(resolve(config).finished) == 2
    array = np.full(GRIDS["PT"].shape, 3, np.float32)
    array[2:4] = 1
    write_volume(tmp_path / "data/b_PT_image.nii.gz", array, GRIDS["PT"])
    resolved = resolve(config)
    assert resolved.finished == {"a.a"}
    assert [scan.state for scan in resolved.scans] == ["done", "done", "to do", "to do"]
    assert execute(resolved).missing_scans() == 0
    assert len(resolve(config).finished) == 2


def test_a_case_that_joins_a_finished_run_is_done(config):
    first = replace(config, name="grows", limit=1)
    execute(resolve(first))
    resolved = resolve(replace(first, limit=None))
    assert (resolved.finished, resolved.count("to do")) == ({"a.a"}, 2)
    assert execute(resolved).missing_scans() == 0
    assert len(resolve(replace(first, limit=None)).finished) == 2


def test_rehash_finds_a_mask_that_was_changed_behind_the_times_of_files(config):
    run = execute(resolve(config))
    record = run.record("a.a", "CT")
    path = run.path / "masks/a.a/CT.zip"
    assert record.masks()
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resolve(config).count("to do") == 0  # the limit that docs/run-format.md states
    assert resolve(replace(config, rehash=True)).count("to do") == 1


def test_hashes_of_the_data_are_kept_for_files_with_the_same_state(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("evaluator.datasets.stored_hashes.SETTLED_SECONDS", 0.0)
    assert SETTLED_SECONDS > 0
    dataset = load_dataset(make_dataset(tmp_path / "data", ["a"], ("CT",)))
    hashed = []

    def count(path):
        hashed.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(files_module, "file_sha256", count)

    def check(**options):
        hashed.clear()
        files_module._TRUSTED.clear()
        files_module._sha256_of.cache_clear()
        return check_cases(dataset.cases, **options).sha256

    first = check()
    names = ["a_CT_image.nii.gz", "a_CT_reference.nii.gz"]
    assert sorted(hashed) == names
    assert check() == first
    assert hashed == []
    assert check(rehash=True) == first
    assert sorted(hashed) == names
    image = tmp_path / "data" / names[0]
    status = image.stat()
    image.write_bytes(image.read_bytes())
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    check()
    assert hashed == [names[0]]  # the time of the last change of attributes differs
    (store,) = (tmp_path / "cache/hashes").iterdir()
    store.write_text('{"files": {"a": [1]}}')
    assert check() == first


def test_states_of_files_are_in_the_order_of_paths_and_without_folders(tmp_path):
    for name in ("m/b/1.json", "m/b-c/1.json", "m/b.d/2.txt", "m/a", "m/z.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = [state[0] for state in file_states(tmp_path, ("m", "none"))]
    paths = sorted(path for path in (tmp_path / "m").rglob("*.*") if path.is_file())
    assert found == [str(path.relative_to(tmp_path)) for path in paths]
    assert [state[0] for state in file_states(tmp_path, ("m",), ".txt")] == ["m/b.d/2.txt"]
