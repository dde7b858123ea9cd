"""The report's parts: privacy, tables, sentences and figures."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from dataclasses import replace

import matplotlib.image
import nibabel
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.cli.main import umd
from evaluator.errors import UnknownNameError, UserError
from evaluator.imaging.geometry import affine_of, make_grid, to_world
from evaluator.imaging.grid_masks import crop_mask
from evaluator.metrics.metric_table import METRICS
from evaluator.report.cases.slices import Image, projection, three_planes
from evaluator.report.cases.viewer_volumes import image_script, masks_script, reduced, shrink
from evaluator.report.figures.scales import heat
from evaluator.report.privacy import WITHHELD, make_privacy, plain_command
from evaluator.report.site import Entry, Site, SiteHeader, slug
from evaluator.report.tables import (
    Cell,
    Column,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    interval,
    number,
    probability,
)
from evaluator.report.viewer import niivue, npm
from tests.tiny import GRIDS

NAMES = [("data", f"Doe-{n}", f"Doe-{n}.2026-01-0{n}") for n in range(1, 8)]


def test_subjects_are_numbers_that_the_runs_salts_decide():
    first, again = (
        make_privacy(NAMES, ["b", "a"], keep_ids=False),
        make_privacy(reversed(NAMES), ["a", "b"], keep_ids=False),
    )
    assert first == again
    numbers = [first.subject("data", subject) for _, subject, _ in NAMES]
    assert sorted(numbers) == [f"S00{n}" for n in range(1, 8)]
    assert numbers != sorted(numbers), "the numbers follow the ids"
    other = make_privacy(NAMES, ["c"], keep_ids=False)
    assert [other.subject("data", subject) for _, subject, _ in NAMES] != numbers
    assert make_privacy(NAMES, ["a"], keep_ids=True).subject("data", "Doe-1") == "Doe-1"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/data/clinic/Doe-1/ct.nii.gz is missing", WITHHELD),
        ("/data/Jane Marie Doe/ct.nii.gz is missing", WITHHELD),
        ("could not read 'C:\\scans\\x\\y'", WITHHELD),
        ("~/scans/a: no such folder", WITHHELD),
        ("Doe_7734.NII.gz: cannot be read as NIfTI", WITHHELD),
        ("Doe-1.2026-01-01 CT: no prompt for Doe-1", "(subject) CT: no prompt for (subject)"),
        ("Doe-12 is another; and/or 1/2 stay", "Doe-12 is another; and/or 1/2 stay"),
        (
            'File "/opt/model/adapter.py", line 3: /input/images/1f.nii.gz',
            'File "/opt/model/adapter.py", line 3: /input/images/1f.nii.gz',
        ),
        ("see https://example.org/a/b/c", "see https://example.org/a/b/c"),
    ],
)
def test_free_text_names_neither_paths_nor_subjects(said, told):
    assert make_privacy(NAMES, ["a"], keep_ids=False).text(said) == told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            "/opt/bin/umd run -m sam -d phantom -p paper --batch",
            "umd run -m sam -d phantom -p paper --batch",
        ),
        (
            "umd run -m sam -d /home/jane/x.toml --case Doe-1 --gpus 0,1",
            "umd run -m sam -d FILE --case CASES --gpus 0,1",
        ),
        (
            "umd run --name=Doe --data-root=/srv/x --model=sam",
            "umd run --name NAME --data-root FOLDER --model sam",
        ),
        ("umd 'unclosed", "umd run"),
        (
            (
                "umd run -m a --option large=sliding --weights /srv/smith-john "
                "--accept-licence MIT --recheck 0 --threads 2"
            ),
            (
                "umd run -m a --option large=sliding --weights WEIGHTS "
                "--accept-licence MIT --recheck 0 --threads 2"
            ),
        ),
        (
            "umd run -m a --weights smith-john --weights random:full",
            "umd run -m a --weights WEIGHTS --weights random:full",
        ),
        ("umd run -m a --unheard-of smith-john -d b", "umd run -m a -d b"),
    ],
)
def test_a_command_is_told_without_places_and_people(command, told):
    assert plain_command(command) == told


def test_names_with_odd_characters_make_names_of_files():
    assert slug("kidney-left") == "kidney-left"
    odd = ["a/b", "a b", "a  b", "../../etc", "<script>", "", "ä", "x" * 200, "x" * 201]
    made = [slug(name) for name in odd]
    assert len(set(made)) == len(odd)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name) and len(name) < 80 for name in made)


def odd_table(warnings=("SYNTHETIC DATA",)):
    cells = [Cell(text="50 % & <b>_x_</b> | $y$ \\ #1", small="n 3"), Cell(text="−0.5", sort=-0.5)]
    data = pd.DataFrame({"name": ["a,b"], "value": [-0.5]})
    columns = [Column(title="model_1", words=True), Column(title="value")]
    return Table(
        name="t",
        title="A & B",
        columns=columns,
        rows=[cells],
        data=data,
        warnings=warnings,
        upper=[("", 1), ("up", 1)],
    )


def test_a_table_in_latex_and_markdown_is_escaped_and_stamped():
    latex, markdown = as_latex(odd_table()), as_markdown(odd_table())
    assert (
        r"50 \% \& \textless{}b\textgreater{}\_x\_\textless{}/b\textgreater{} | \$y\$ "
        r"\textbackslash{} \#1 (n 3)" in latex
    )
    assert "$-$0.5" in latex
    assert r"\multicolumn{1}{c}{up}" in latex
    assert "SYNTHETIC DATA" in latex
    row = markdown.splitlines()[4]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    assert "<b>" not in markdown
    assert "SYNTHETIC DATA" in markdown


def test_csv_reads_back_and_carries_the_stamps():
    frame = pd.read_csv(io.StringIO(as_csv(odd_table().data, ("SYNTHETIC DATA", "x"))))
    assert frame.to_dict("records") == [{"note": "SYNTHETIC DATA; x", "name": "a,b", "value": -0.5}]
    assert list(pd.read_csv(io.StringIO(as_csv(odd_table().data, ())))) == ["name", "value"]


def test_figures_for_the_eye():
    assert [number(value) for value in (None, pd.NA, float("nan"), -0.0004, -1.5, 0.25)] == [
        "–", "–", "–", "0.000", "−1.500", "0.250",
    ]  # fmt: skip
    assert number(0.25, 2, sign=True) == "+0.25"
    assert interval(-0.1, 0.2, 1) == "[−0.1, 0.2]"
    assert interval(pd.NA, pd.NA) == "–"
    assert [probability(p) for p in (0.0004, 0.04, pd.NA)] == ["<0.001", "0.040", "–"]


@given(value=st.floats(-10, 500, allow_nan=False), metric=st.sampled_from(sorted(METRICS)))
def test_what_is_written_on_a_heat_map_can_be_read(value, metric):
    """Contrast by WCAG 2.1, recomputed."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted(map(luminance, heat(value, metric)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def body_of(script: str):
    key, body = re.fullmatch(r"umd\.take\((\".*?\"), (.*)\);\n", script, re.DOTALL).groups()
    return json.loads(key), json.loads(body)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_an_image_in_a_script_is_the_image_and_nothing_else(modality):
    grid = GRIDS[modality]
    low, high = (-1000, 1500) if modality == "CT" else (0, 37.5)
    values = np.random.default_rng(0).uniform(low, high, grid.shape).astype(np.float32)
    values[0, 0, 0] = np.nan
    _, body = body_of(image_script("key", values, reduced(grid), modality))
    read = nibabel.Nifti1Image.from_bytes(unpack(body))
    np.testing.assert_allclose(read.affine, affine_of(grid), atol=1e-5)
    step = 1.0 if modality == "CT" else 37.5 / 4095
    np.testing.assert_allclose(read.get_fdata(), np.nan_to_num(values), atol=step / 2 + 1e-3)
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        assert not bytes(read.header[name]).strip(b"\0"), name


def unpack(base64_text: str) -> bytes:
    import base64
    import gzip

    return gzip.decompress(base64.b64decode(base64_text))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), most=st.integers(8, 4000))
def test_a_halved_grid_keeps_the_world(data, most):
    grid = data.draw(st.sampled_from(list(GRIDS.values())))
    to = reduced(grid, most)
    assert np.prod(to.grid.shape) <= most
    # the mean of a linear image over a block is its value at the block's centre, where the block is
    # whole
    places = to_world(affine_of(grid), np.stack(np.indices(grid.shape), axis=-1))
    small = to_world(affine_of(to.grid), np.stack(np.indices(to.grid.shape), axis=-1))
    whole = tuple(slice(0, n // f) for n, f in zip(grid.shape, to.factor, strict=True))
    for axis in range(3):
        np.testing.assert_allclose(
            shrink(places[..., axis], to)[whole], small[..., axis][whole], atol=1e-3
        )


def test_masks_in_a_script_are_the_masks():
    grid = GRIDS["MR"]
    mask = np.zeros(grid.shape, np.uint8)
    mask[3:7, 2:9, 4:6] = np.random.default_rng(0).integers(0, 2, (4, 7, 2))
    masks = {"liver": crop_mask(mask, grid), "none": crop_mask(np.zeros_like(mask), grid)}
    _, body = body_of(masks_script("key", masks, reduced(grid)))
    crop = body["liver"]
    rebuilt = np.zeros(grid.shape, np.uint8)
    where = tuple(slice(low, low + n) for low, n in zip(crop["low"], crop["shape"], strict=True))
    rebuilt[where] = np.frombuffer(unpack(crop["data"]), np.uint8).reshape(crop["shape"], order="F")
    np.testing.assert_array_equal(rebuilt, mask)
    assert unpack(body["none"]["data"]) == b""


#: one ball of the body's right, front and upper side on grids that point every way
SIDES = {
    "plain": np.diag([3.0, 3.0, 4.0, 1.0]),
    "flipped": np.array([[-3.0, 0, 0, 120], [0, -3.0, 0, 120], [0, 0, -4.0, 160], [0, 0, 0, 1]]),
    "permuted": np.array([[0, 0, 3.0, 0], [3.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 0, 1]]),
    "oblique": np.array(
        [[2.9, -0.6, 0.2, 8], [0.7, 2.9, 0.1, -6], [-0.2, 0.1, 4.0, 2], [0, 0, 0, 1]]
    ),
}


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_pictures_show_the_patients_right_on_the_left_whatever_the_grid(name, modality):
    affine, centre = SIDES[name], np.array([80.0, 60.0, 100.0])
    beside = centre + np.array([30, 20, 30])  # to the right, front and above
    shape = (42, 42, 42)
    places = to_world(affine, np.stack(np.indices(shape), axis=-1))
    ball = np.linalg.norm(places - centre, axis=-1) < 18
    dot = np.linalg.norm(places - beside, axis=-1) < 7
    image = Image(
        modality=modality, array=(ball * 3.0 + dot * 2000.0 - 0.5).astype(np.float32), affine=affine
    )
    drawn = three_planes(image, "liver", ball.astype(np.uint8), None, points=[(beside, True)])
    pixels = matplotlib.image.imread(io.BytesIO(drawn))[..., :3].mean(axis=-1)
    panel = pixels.shape[1] // 3
    axial = pixels[:, 5 : panel - 5]
    seen = axial < 0.25 if modality == "PT" else axial > 0.95
    rows, columns = np.nonzero(seen[10:-10, 25:-25])
    assert columns.mean() < (panel - 60) / 2, "the patient's right is on the right"
    assert rows.mean() < pixels.shape[0] / 2, "front is down"
    assert projection(image, ball.astype(np.uint8), None, warnings=["SYNTHETIC"])[:4] == b"\x89PNG"


def test_niivue_is_the_pinned_file_or_none(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as package:
        entry = tarfile.TarInfo(niivue.SCRIPT)
        entry.size = 9
        package.addfile(entry, io.BytesIO(b"niivue={}"))
    tarball = tmp_path / "package.tgz"
    tarball.write_bytes(buffer.getvalue())
    with pytest.raises(
        UserError, match="not the pinned package; make it with: npm pack @niivue/niivue@"
    ):
        niivue.niivue_script(tarball)
    with pytest.raises(UserError, match="cannot be read"):
        niivue.niivue_script(tmp_path / "none.tgz")
    ours = replace(niivue.PACKAGE, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(niivue, "PACKAGE", ours)
    assert niivue.niivue_script(tarball) == b"niivue={}"


def test_without_npm_and_network_the_viewer_is_left_out(tmp_path, monkeypatch, messages):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    assert niivue.niivue_script(None) is None
    assert len(messages) == 1
    assert "the report has no interactive viewer, only snapshots" in messages[0]
    assert "give --niivue niivue-niivue-" in messages[0]


def test_the_registry_is_npms_own(tmp_path, monkeypatch):
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    settings_file = tmp_path / ".npmrc"
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(settings_file))
    assert npm.npm_registry() == npm.REGISTRY
    settings_file.write_text('color=false\nregistry = "https://npm.clinic.example/"\n')
    assert npm.npm_registry() == "https://npm.clinic.example/"
    monkeypatch.setenv("npm_config_registry", "https://other.example")
    assert npm.npm_registry() == "https://other.example"


def test_a_folder_of_something_else_is_not_replaced_and_a_failed_report_leaves_the_old_one(
    tmp_path,
):
    full = tmp_path / "work"
    full.mkdir()
    (full / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not a report"), Site(full):
        pass
    assert (full / "thesis.tex").read_text() == "years of work"
    made = tmp_path / "report"
    with Site(made) as site:
        site.text("index.html", "first")
    with pytest.raises(ZeroDivisionError), Site(made) as site:
        site.text("index.html", str(1 / 0))
    assert (made / "index.html").read_text() == "first"
    with Site(made) as site:
        site.text("index.html", "third")
    assert (made / "index.html").read_text() == "third"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "work"]


def test_a_grid_of_one_slice_can_be_halved():
    grid = make_grid((64, 64, 1), np.diag([1.0, 1.0, 5.0, 1.0]))
    assert reduced(grid, 1024).grid.shape == (32, 32, 1)


def test_a_case_without_the_viewer_says_so(tmp_path):
    entry = Entry(file="cases.html", short="Cases")
    head = SiteHeader(title="t", subtitle="s", made_by="umd", warnings=(), navigation=(entry,))
    page = {"title": "Case S001", "nav": "cases.html"}
    same = {
        "snapshots": [],
        "package": "@niivue/niivue@1",
        "dataset_title": "Data",
        "warnings": (),
        "halved": [],
        "content": {},
    }
    with Site(tmp_path / "site") as site:
        site.page("cases/without.html", "case.html", head, page=page, viewer=False, **same)
        site.page("cases/with.html", "case.html", head, page=page, viewer=True, **same)
    without, shown = (
        (tmp_path / "site/cases" / f"{name}.html").read_text() for name in ("without", "with")
    )
    assert "no interactive viewer, because @niivue/niivue@1 was not available" in without
    assert "niivue.js" not in without
    assert "built without" not in shown
    assert '<script src="../assets/niivue.js">' in shown


def test_the_command_says_what_is_missing(tmp_path):
    run = CliRunner().invoke
    out = ["-o", str(tmp_path / "site")]
    assert "name runs, or a --suite" in run(umd, ["report", *out]).output
    with pytest.raises(UnknownNameError, match="no run named 'nothing'"):
        run(umd, ["report", "nothing", *out], standalone_mode=False, catch_exceptions=False)
    with pytest.raises(UserError, match="was not run yet; run it with: umd suite run cpu"):
        run(umd, ["report", "--suite", "cpu", *out], standalone_mode=False, catch_exceptions=False)
    assert not (tmp_path / "site").exists()


def test_every_option_of_a_run_is_told_or_withheld():
    from evaluator.report.privacy import _FLAGS, _TOLD, _WITHHELD

    run = umd.get_command(None, "run")
    options = {name for param in run.params for name in param.opts}
    assert options == {*_FLAGS, *_TOLD, *_WITHHELD}
