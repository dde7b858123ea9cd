"""A run checks its data first, tells what was found for ever, and never loses finished work."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import evaluator
from evaluator.analysis.displacements import describe_displacements, displacements
from evaluator.analysis.run_header import header
from evaluator.cli.main import umd
from evaluator.datasets.load import load_dataset, scan_problem
from evaluator.errors import DatasetError, HostError, RunConflictError
from evaluator.evaluation.data_guard import stop_disjoint
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run_config import RunConfig
from evaluator.export import export_run
from evaluator.findings import Finding, Registration, summarise_findings
from evaluator.imaging.geometry import affine_of, make_grid
from evaluator.report import Options, build_report
from evaluator.runs.data_checks import DataChecks
from evaluator.runs.tables import read_scores
from evaluator.scoring.rescore import score_run
from evaluator.volumes import read_grid, read_image, read_labels, write_volume
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def data(project, tmp_path):
    project({"painter": PAINTER})
    return make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))


def move(folder, name, millimetres):
    """Move image and reference of one scan along x."""
    for kind, read in (("image", read_image), ("reference", read_labels)):
        path = folder / f"{name}_{kind}.nii.gz"
        array, grid = read(path)
        affine = affine_of(grid)
        affine[0, 3] += millimetres
        write_volume(path, array, make_grid(grid.shape, affine))


def spoil(folder, name, change):
    path = folder / f"{name}_image.nii.gz"
    array, grid = read_image(path)
    write_volume(path, change(array).astype(np.float32), grid)


def with_nan(array):
    changed = array.astype(np.float32)
    changed[array == array.max()] = np.nan
    return changed


def relabel(data, old, new):
    path = data.with_suffix(".tsv")
    path.write_text(path.read_text().replace(old, new))


def test_a_disjoint_pair_is_not_run_and_told(data, tmp_path):
    move(tmp_path / "data", "a_PT", 780)
    run = order("painter", data, "box", engine="local")
    records = {(record.case, record.modality): record for record in run.records()}
    for modality in ("CT", "PT"):
        assert records["a.a", modality].state == "not-run"
        assert "not registered" in records["a.a", modality].reason
        assert records["b.a", modality].state == "done"
    checks = run.checks()
    (entry,) = (entry for entry in checks.registrations if entry.case == "a.a")
    assert entry.overlap == 0
    assert entry.distance_mm == pytest.approx(780, abs=3)
    shown = CliRunner().invoke(umd, ["show", str(run.path)]).output
    assert "are disjoint" in shown
    assert "not run: a.a PT: not registered" in shown
    assert "data: error: a.a PT: is far from the CT image of the same case" in shown
    scores = read_scores(run)
    assert set(scores[scores["case"] == "a.a"]["status"]) == {"not-run"}


def test_prompts_on_each_images_reference(data, tmp_path):
    move(tmp_path / "data", "a_PT", 780)
    run = order("painter", data, "box", engine="local", unregistered=True)
    assert {record.state for record in run.records()} == {"done"}
    assert run.info().identity.prompts == "drawn-on-each-image"
    assert order("painter", data, "box", engine="local").name != run.name
    for modality in ("CT", "PT"):
        prompt = run.prompts("a.a").scan(modality).prompts[0]["liver"]
        assert (prompt.anchor, prompt.displacement_mm) == (modality, 0)
        mask, _ = read_labels(tmp_path / "data" / f"a_{modality}_reference.nii.gz")
        assert prompt.box.low == tuple(np.argwhere(mask).min(axis=0))
        for row in run.limits("a.a", modality).rows:
            assert row.ceiling_rule == "own reference: the images are not registered"
            assert row.ceiling == (1 if row.metric in ("dice", "nsd") else 0)
    assert any("UNREGISTERED" in line for line in header(run))
    compared = CliRunner().invoke(umd, ["compare", str(run.path)]).output
    assert "UNREGISTERED" in compared
    site = tmp_path / "site"
    build_report([run.path], site, Options(images=False))
    for page in site.glob("*.html"):
        text = page.read_text()
        assert "same prompt" not in text, page.name
        assert "UNREGISTERED" in text, page.name


def test_a_displaced_pair_is_a_warning_everywhere(data, tmp_path):
    move(tmp_path / "data", "a_PT", 11)
    run = order("painter", data, "box", engine="local")
    assert {record.state for record in run.records()} == {"done"}
    moved = displacements(run)
    assert max(moved["liver", "PT"]) == pytest.approx(11, abs=4)
    assert max(moved["liver", "CT"]) == 0
    assert "1 of 4 boxes lie beside the box of their image's own reference" in (
        describe_displacements(run)
    )
    for command in ("show", "compare", "rank"):
        output = CliRunner().invoke(umd, [command, str(run.path)]).output
        assert "do not agree: their centres are" in output, command
        assert "boxes lie beside" in output, command
    build_report([run.path], tmp_path / "site", Options(images=False))
    overview = (tmp_path / "site" / "index.html").read_text()
    assert "do not agree: their centres are" in overview
    assert "boxes lie beside" in overview
    assert "FINDINGS IN THE DATA" in overview
    export_run(str(run.path), "csv", tmp_path / "out")
    assert "do not agree" in (tmp_path / "out" / "findings.csv").read_text()


FAULTS = {
    "missing": (lambda folder: (folder / "a_PT_image.nii.gz").unlink(), "is missing"),
    "nan": (lambda folder: spoil(folder, "a_PT", with_nan), "NaN or infinite values"),
}


def test_a_folder_in_the_place_of_an_image_is_not_called_missing(data, tmp_path):
    image = tmp_path / "data" / "a_PT_image.nii.gz"
    image.unlink()
    image.mkdir()
    scan = load_dataset(data).cases[0].scans["PT"]
    assert "is a folder, where one file is expected. DICOM" in scan_problem(scan)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_stops_the_run_unless_forced(data, tmp_path, fault):
    damage, message = FAULTS[fault]
    damage(tmp_path / "data")
    with pytest.raises(DatasetError, match=message):
        order("painter", data, engine="local")
    assert not list((tmp_path / "runs").glob("*/run.json"))
    run = order("painter", data, engine="local", force=True)
    assert any(message in finding.message for finding in run.checks().forced)
    assert any("FORCED" in line for line in header(run))


def test_one_file_that_stands_for_two_scans_is_told_above_every_table(data, tmp_path):
    for kind in ("image", "reference"):
        name = f"PT_{kind}.nii.gz"
        shutil.copy(tmp_path / "data" / f"a_{name}", tmp_path / "data" / f"b_{name}")
    run = order("painter", data, "box", engine="local")
    for command in ("show", "compare"):
        output = CliRunner().invoke(umd, [command, str(run.path)]).output
        assert "data: error: b.a PT: the image is the same file as the image of a.a PT" in output


def test_that_a_run_was_forced_is_never_forgotten(data, tmp_path):
    content = (tmp_path / "data" / "a_PT_image.nii.gz").read_bytes()
    (tmp_path / "data" / "a_PT_image.nii.gz").unlink()
    run = order("painter", data, engine="local", force=True)
    (tmp_path / "data" / "a_PT_image.nii.gz").write_bytes(content)
    again = order("painter", data, engine="local")
    assert again.name == run.name
    assert not [f for f in again.checks().findings if f.severity == "error"]
    assert "missing" in again.checks().forced[0].message
    assert any("FORCED" in line for line in header(again))


def test_a_wrong_label_is_told_with_the_right_one(data, tmp_path):
    relabel(data, "liver=1", "liver=2")
    with pytest.raises(DatasetError, match=r"holds 1, none of the declared 2; write liver=1"):
        order("painter", data, engine="local")


def test_uptake_in_becquerel_is_told_above_every_table(data, tmp_path):
    spoil(tmp_path / "data", "a_PT", lambda array: array * 40000.0)
    run = order("painter", data, engine="local")
    (line,) = (line for line in header(run) if "values" in line)
    assert "do not look like" in line
    assert "Bq/ml perhaps?" in CliRunner().invoke(umd, ["compare", str(run.path)]).output or (
        "more warnings about values" in line
    )
    assert any("Bq/ml perhaps?" in f.message for f in run.checks().findings)


def test_finished_work_is_kept_when_the_data_are_away(data, tmp_path):
    run = order("painter", data, "box", engine="local")
    before = {path: path.read_bytes() for path in (run.path / "records").rglob("*.json")}
    (tmp_path / "data" / "a_CT_image.nii.gz").rename(tmp_path / "away.nii.gz")
    for force in (False, True):
        with pytest.raises(HostError, match="finished results are kept"):
            order("painter", data, "box", engine="local", force=force)
    assert {path: path.read_bytes() for path in (run.path / "records").rglob("*.json")} == before
    (tmp_path / "away.nii.gz").rename(tmp_path / "data" / "a_CT_image.nii.gz")
    assert order("painter", data, "box", engine="local").name == run.name


REPLACER = PAINTER.replace(
    "        def paint(target):",
    "        import shutil\n        shutil.copy(SOURCE, DESTINATION)\n        def paint(target):",
)


def test_a_file_that_is_replaced_while_a_run_goes_on_is_told(project, tmp_path):
    folder = tmp_path / "data"
    texts = (folder / "other.nii.gz", folder / "a_CT_reference.nii.gz")
    text = REPLACER.replace("SOURCE", repr(str(texts[0])))
    project({"replacer": text.replace("DESTINATION", repr(str(texts[1])))})
    data = make_dataset(folder, ["a"], ("CT", "PT"))
    labels, grid = read_labels(texts[1])
    write_volume(texts[0], np.roll(labels, 1, axis=0), grid)
    with pytest.raises(HostError, match="CT reference 0 was changed"):
        order("replacer", data, "box", engine="local", name="r")
    records = list((tmp_path / "runs" / "r" / "records").rglob("*.json"))
    assert all(json.loads(path.read_text())["modality"] != "CT" for path in records)


def test_references_that_are_not_the_runs_are_not_scored(data, tmp_path):
    run = order("painter", data, "box", engine="local")
    before = read_scores(run)
    path = tmp_path / "data" / "a_CT_reference.nii.gz"
    labels, grid = read_labels(path)
    path.unlink()
    with pytest.raises(HostError, match="no score was changed"):
        score_run(run)
    write_volume(path, np.roll(labels, 1, axis=0), grid)
    with pytest.raises(RunConflictError, match="was replaced since run"):
        score_run(run)
    assert read_scores(run).equals(before)
    write_volume(path, labels, grid)
    score_run(run)
    assert read_scores(run).equals(before)


def test_checks_are_cached_by_content(data, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    config = RunConfig(model="painter", dataset=str(data), protocol="box", engine="local")
    first = resolve(config).data
    files = sorted((tmp_path / "cache" / "checks").glob("*.json"))
    assert len(files) == 2
    assert resolve(config).data == first
    spoil(tmp_path / "data", "a_PT", lambda array: array * 40000.0)
    assert resolve(config).data != first
    assert len(list((tmp_path / "cache" / "checks").glob("*.json"))) == 3


def pair(case, first, second, *, overlap):
    return Registration(
        case=case,
        target="liver",
        first=first,
        second=second,
        distance_mm=0.0 if overlap else 500.0,
        limit_mm=5.0,
        overlap=overlap,
        volume_ratio=1.0,
    )


def test_of_three_images_the_two_that_agree_are_kept():
    three = [
        pair("s.a", "CT", "MR", overlap=0),
        pair("s.a", "CT", "PT", overlap=0.9),
        pair("s.a", "MR", "PT", overlap=0),
        pair("t.a", "CT", "PT", overlap=0.9),
    ]
    stopped = stop_disjoint(three)
    assert {case: set(reasons) for case, reasons in stopped.items()} == {"s.a": {"MR"}}
    apart = [pair("s.a", *names, overlap=0) for names in (("CT", "MR"), ("CT", "PT"), ("MR", "PT"))]
    assert set(stop_disjoint(apart)["s.a"]) == {"CT", "MR", "PT"}


def finding(case, severity, message, topic="values"):
    return Finding(
        severity=severity, case=case, modality="PT", path="", message=message, topic=topic
    )


def test_checks_of_some_cases_keep_those_of_others():
    before = DataChecks(
        findings=(finding("a", "warning", "old"), finding("b", "warning", "kept")),
        stopped={"a": {"PT": "apart"}},
        forced=(finding("a", "error", "forced"),),
    )
    after = before.updated(DataChecks(findings=(finding("a", "note", "new"),)), frozenset({"a"}))
    assert [f.message for f in after.findings] == ["kept", "new"]
    assert after.stopped == {}
    assert after.forced == before.forced


def test_many_findings_take_few_lines():
    many = [finding(f"s{n}", "warning", f"values {n}") for n in range(40)]
    lines = summarise_findings([*many, finding("x", "error", "gone", "files"), many[0]])
    assert lines == [
        "error: x PT: gone",
        "warning: s0 PT: values 0 (40 more warnings about values)",
    ]


def test_the_python_api_has_the_same_guards(data, tmp_path):
    (tmp_path / "data" / "a_PT_image.nii.gz").unlink()
    with pytest.raises(DatasetError):
        evaluator.run("painter", data, "box", engine="local", recheck=0)
    run = evaluator.run("painter", data, "box", engine="local", recheck=0, force=True)
    assert run.checks().forced


def test_a_run_of_noisy_directions_is_scored_on_the_images_grid(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))
    for kind, read in (("image", read_image), ("reference", read_labels)):
        path = tmp_path / "data" / f"a_CT_{kind}.nii.gz"
        array, grid = read(path)
        affine = affine_of(grid)
        affine[:3, :3] += np.array([[0, 2, 0], [0, 0, -2], [1, 0, 0]]) * 1e-3
        write_volume(path, array, make_grid(grid.shape, affine))
    run = order("painter", data, "box-clicks-5", engine="local")
    record = run.record("a.a", "CT")
    assert {t.status for t in record.rounds[0].targets.values()} == {"ok"}
    exact = read_grid(tmp_path / "data" / "a_CT_image.nii.gz")
    assert np.allclose(record.grid.affine, exact.affine)
    _, grid = run.masks.read(record.rounds[0].targets["liver"].mask.file)
    assert np.allclose(grid.affine, exact.affine, atol=1e-5)
    assert any("not quite orthogonal" in f.message for f in run.checks().findings)
