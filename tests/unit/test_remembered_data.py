"""A run remembers where its images were found, and says when its references are circular."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.simulate import simulate_run
from evaluator.cli.main import umd
from evaluator.datasets import load_dataset
from evaluator.datasets.importing import DatasetText, survey_folder, write_dataset
from evaluator.datasets.importing.layout_files import LayoutOptions
from evaluator.errors import DatasetError
from evaluator.files import read_json, write_json
from evaluator.runs.names import choose_runs
from evaluator.runs.run_warnings import warnings_of
from tests.tiny import make_dataset

MANIFEST = """name = "mine"
title = "Mine"
license = "none"
citation = "none"
synthetic = true
reference_origin = "made"

[root]
variable = "MINE"
folder = "images"
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest apart from its images, which a variable finds."""
    make_dataset(tmp_path / "disk" / "images", ["a"])
    path = tmp_path / "manifests" / "mine.toml"
    path.parent.mkdir()
    path.write_text(MANIFEST)
    (tmp_path / "disk/images/tiny.tsv").rename(path.with_suffix(".tsv"))
    return path


def test_a_root_is_remembered_and_may_move(manifest: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("UMD_DATA", raising=False)
    monkeypatch.setenv("MINE", str(tmp_path / "disk"))
    root = load_dataset(manifest).root
    assert root == tmp_path / "disk" / "images"
    # another shell has no variable
    monkeypatch.delenv("MINE")
    with pytest.raises(DatasetError, match="MINE"):
        load_dataset(manifest)
    assert load_dataset(manifest, None, root).root == root
    (tmp_path / "disk").rename(tmp_path / "moved")
    for place in ("moved", "moved/images"):
        dataset = load_dataset(manifest, tmp_path / place, root)
        assert dataset.root == tmp_path / "moved" / "images"
        assert all(scan.image.is_file() for scan in dataset.cases[0].scans.values())


def test_moved_data_are_given_to_stores(tmp_path: Path) -> None:
    store = simulate_run(tmp_path, "alpha", "box", pet_ct=1, pet_mr=0)
    assert choose_runs([store])[0].info().root is None
    assert choose_runs([store], tmp_path / "new")[0].info().root == tmp_path / "new"
    assert "data_root" not in read_json(store.path / "run.json")


def test_circular_references_are_told_beside_the_rows(tmp_path: Path) -> None:
    store = simulate_run(tmp_path, "alpha", "box", pet_ct=2, pet_mr=0)
    body = read_json(store.path / "run.json")
    body["dataset"]["circular"] = ["alpha"]
    write_json(store.path / "run.json", body)
    assert any(line.startswith("CIRCULAR") for line in warnings_of(store))
    done = CliRunner().invoke(umd, ["compare", str(store.path)])
    assert done.exit_code == 0, done.output
    assert "alpha (circular)" in done.stdout and "CIRCULAR" in done.stdout


def test_the_data_of_an_import_may_move(tmp_path: Path) -> None:
    """An import writes an absolute folder, which --data-root replaces."""
    make_dataset(tmp_path / "data", ["a"], ("CT",))
    options = LayoutOptions(
        images=("{subject}_{modality}_image.nii.gz",),
        references=("{subject}_{modality}_reference.nii.gz",),
        labels={"liver": (1,)},
    )
    found = survey_folder(tmp_path / "data", "auto", options)
    manifest = write_dataset(found, DatasetText(name="mine"), tmp_path).manifest
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(DatasetError, match="give their folder with --data-root") as caught:
        load_dataset(manifest)
    assert str(caught.value).count("is not a folder") == 1
    loaded = load_dataset(manifest, tmp_path / "moved")
    assert loaded.cases[0].scans["CT"].image.parent == tmp_path / "moved"
    with pytest.raises(DatasetError, match="nothing is not a folder"):
        load_dataset(manifest, tmp_path / "nothing")
