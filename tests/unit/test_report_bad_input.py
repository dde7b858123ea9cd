"""Reports of odd runs: one subject, no masks, one modality, ties, fifty models, odd names."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from evaluator.errors import RunConflictError, UnknownNameError
from evaluator.report import Options, write_report
from evaluator.runs.json_types import write_typed
from evaluator.runs.records import RoundRecord, ScanRecord
from evaluator.runs.reproducibility_records import (
    Differences,
    MaskDifference,
    Reproducibility,
    ScanName,
)
from evaluator.runs.results import Results
from evaluator.runs.run_info import WeightsInfo
from evaluator.runs.store import RunStore
from tests.scored import facts as plain_facts
from tests.scored import paired
from tests.scored import results as make_results
from zoo_sdk.wire import Reply


def facts(model: str, **changes):
    return plain_facts(model, protocol="box", **changes)


def built(tmp_path, runs, rows, **options) -> dict[str, str]:
    """The pages of a report without pictures, by name."""
    data = make_results(runs, rows) if not isinstance(rows, Results) else rows
    given = Options(**{"images": False} | options)
    index = write_report(data, tmp_path / "site", given)
    return {path.name: path.read_text(encoding="utf-8") for path in index.parent.rglob("*.html")}


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_one_subject_gets_figures_and_no_claim(tmp_path):
    run = facts("m")
    pages = built(tmp_path, [run], list(paired(run, {"liver": [(0.9, 0.5)]})))
    said = text_of(pages["index.html"])
    assert "inconclusive" in said
    assert "1 subject does not allow an interval for the difference of 0.400" in said
    assert "ranking.html" not in pages, "one model has no ranking"


def test_all_failed_is_told_and_drawn_as_such(tmp_path):
    run = facts("m")
    pages = built(tmp_path, [run], list(paired(run, {"liver": [("crashed", "timeout")] * 6})))
    assert "Failed predictions, without a valid mask: 6 of 6 on CT and 6 of 6 on PET" in text_of(
        pages["index.html"]
    )
    assert "6 failed" in text_of(pages["index.html"])
    assert {"crashed", "timeout"} <= set(re.findall(r"[a-z]+", text_of(pages["failures.html"])))


def test_nothing_was_run(tmp_path):
    run = facts("m")
    pages = built(tmp_path, [run], list(paired(run, {"liver": [("not-run", "not-run")] * 3})))
    assert "is inconclusive" in text_of(pages["index.html"])


def test_one_modality_has_no_difference(tmp_path):
    run = facts("m")
    rows = [(run, f"s{n}", "CT", "liver", "dice", 0.5 + n / 20) for n in range(6)]
    pages = built(tmp_path, [run], rows)
    assert "No subject of this benchmark has two modalities" in text_of(pages["index.html"])
    assert "minus PET" not in text_of(pages["modalities.html"])


def test_ties_everywhere_are_equivalence_and_no_ranking_by_chance(tmp_path):
    runs = [facts("a"), facts("b")]
    # with fewer subjects a difference in failures that were not seen is not excluded
    ties = [(0.8, 0.8)] * 200
    rows = []
    for run in runs:
        rows += paired(run, {"liver": ties, "spleen": ties})
    pages = built(tmp_path, runs, rows)
    assert "as good on PET" in text_of(pages["index.html"])
    assert "As good as on CT, within the margin" in text_of(pages["index.html"])
    assert "worse on PET" not in text_of(pages["index.html"])


@pytest.mark.extended
def test_fifty_models(tmp_path):
    runs = [facts(f"model-{n:02d}") for n in range(50)]
    rows = []
    for n, run in enumerate(runs):
        rows += paired(run, {"liver": [(0.5 + n / 200 + s / 50, 0.4) for s in range(6)]})
    pages = built(tmp_path, runs, rows)
    assert all(f"model-{n:02d}" in pages["index.html"] for n in range(50))
    assert max(map(len, pages.values())) < 5 * 2**20


ODD = [
    "<b>bold</b>",
    '50 % & "more"',
    "a/../b",
    "$\\alpha$ _x_",
    "肝臓",
    "x" * 150,
    "' onmouseover='alert(1)",
]


def test_odd_names_are_text_and_make_files_that_links_find(tmp_path):
    run = facts("m", dataset_title="<script>alert(1)</script>", reference_origin="{{ 7 * 7 }}")
    scores = [(0.9, 0.5 + s / 50) for s in range(6)]
    pages = built(
        tmp_path,
        [run],
        list(paired(run, dict.fromkeys(ODD, scores))),
    )
    everything = "".join(pages.values())
    assert "<script>alert" not in everything
    assert "<b>bold" not in everything
    assert "49" not in text_of(pages["methods.html"]).split("References:")[1][:20]
    for page in pages.values():
        for link in re.findall(r'href="([^"#]+\.(?:csv|svg|pdf|tex|md))"', page):
            assert (tmp_path / "site" / link).is_file(), link
            assert re.fullmatch(r"[A-Za-z0-9./-]+", link)
    assert (
        "onmouseover="
        not in re.sub(r'"[^"]*"', "", everything.replace("&#39;", "").replace("&#x27;", "")).split(
            "<main"
        )[0]
    )


def test_numbers_alone_hold_no_picture_and_no_volume(tmp_path):
    run = facts("m")
    pages = built(tmp_path, [run], list(paired(run, {"liver": [(0.9, 0.5)] * 5})))
    assert not list((tmp_path / "site").rglob("*.png"))
    assert not (tmp_path / "site" / "volumes").exists()
    assert not (tmp_path / "site" / "assets" / "niivue.js").exists()
    assert "cases.html" not in pages
    assert "without images of subjects" in text_of(pages["failures.html"])


def test_ids_are_kept_when_asked_for_and_only_then(tmp_path):
    run = facts("m")
    rows = list(paired(run, {"liver": [(0.9, 0.5)] * 3}))
    built(tmp_path, [run], rows)
    data = tmp_path / "site/data/data.box.subjects.csv"
    assert set(pd.read_csv(data)["subject"]) == {"S001", "S002", "S003"}
    built(tmp_path, [run], rows, keep_ids=True)
    assert set(pd.read_csv(data)["subject"]) == {"s000", "s001", "s002"}


def test_a_control_makes_a_collapse_the_pipelines_or_the_models(tmp_path):
    runs = [facts("m"), facts("m", dataset="control", name="m.control.box")]
    bad = [(0.05, 0.02)] * 6
    rows = [*paired(runs[0], {"liver": bad}), *paired(runs[1], {"liver": bad})]
    pages = built(tmp_path, runs, rows, control="control")
    assert "Suspect the pipeline (units, orientation, label map) before the model" in text_of(
        pages["index.html"]
    )
    with pytest.raises(
        UnknownNameError, match="no dataset among the runs named 'contro'; did you mean control"
    ):
        built(tmp_path, runs, rows, control="contro")


def test_a_prompt_that_a_model_does_not_take_is_no_collapse_and_no_score(tmp_path):
    runs = [
        facts("a"),
        facts("m", prompt_kind=None),
        facts("m", prompt_kind=None, dataset="control", name="m.control"),
    ]
    refused = [("unsupported", "unsupported")] * 6
    rows = [*paired(runs[0], {"liver": [(0.9, 0.5 + n / 30) for n in range(6)]})]
    for run in runs[1:]:
        rows += paired(run, {"liver": refused})
    pages = built(tmp_path, runs, rows, control="control")
    said = text_of(pages["index.html"])
    assert (
        "No prediction was requested: the model does not support any prompt of this protocol."
        in said
    )
    assert "not supported no score" in said
    assert "Suspect the pipeline" not in said
    assert "collapse" not in said
    figures = tmp_path / "site/figures"
    drawn = {file.name: set(pd.read_csv(file)["model"]) for file in figures.glob("data.box.s*.csv")}
    assert drawn == {"data.box.slopes.liver.csv": {"a"}}
    assert set(pd.read_csv(figures / "data.box.distributions.liver.csv")["model"]) == {"a"}


def test_random_weights_and_models_that_keep_state_are_called_so(tmp_path):
    store = RunStore(tmp_path)
    write_typed(tmp_path / "run.json", facts("m").info)
    first = MaskDifference(
        case="s000.a",
        modality="CT",
        round=0,
        target="liver",
        status="ok",
        repeated_status="ok",
        dice=0.5,
    )
    differences = {"alone": Differences(count=1, first=(first,)), "batch": Differences(count=0)}
    store.write_reproducibility(
        Reproducibility(
            verdict="keeps-state",
            mode="session",
            source="",
            scans=(ScanName(case="s000.a", modality="CT"),),
            masks=2,
            seconds=1.0,
            differences=differences,
        )
    )
    doubted = {
        "reproducibility": "keeps-state",
        "path": tmp_path,
        "random_weights": True,
        "weights": "random:full",
    }
    run = facts("m", **doubted)
    pages = built(tmp_path, [run], list(paired(run, {"liver": [(0.9, 0.5)] * 6})))
    for name, page in pages.items():
        assert "RANDOM WEIGHTS, NOT A RESULT: m." in text_of(page), name
        assert "KEEPS STATE BETWEEN CASES: m." in text_of(page), name
    assert "weights random:full" in text_of(pages["index.html"])
    assert "the first: (subject) CT, liver" in text_of(pages["provenance.html"])
    assert "s000" not in pages["provenance.html"]
    files = []
    for suffix in ("csv", "md", "tex", "svg"):
        files += (tmp_path / "site").rglob(f"*.{suffix}")
    silent = [file.name for file in files if "RANDOM WEIGHTS, NOT A RESULT" not in file.read_text()]
    # what holds no score, and a list of failures that has no row
    assert {name.rpartition(".")[0] for name in silent} == {
        "metrics",
        "tolerances",
        "data.box.failures",
    }


def test_provenance_tells_the_choices_that_were_taken_and_repeats_them(tmp_path):
    """A model's settings are shown where all scans have the same; names of scans never are."""

    def said(number, modality, scale, **more):
        notes = {
            "options": {"large": "sliding"},
            "crop": "on the click",
            "intensity": scale,
            "device": number,
        }
        reply = Reply(notes=notes | {"targets": {"liver": {"crop_start": [1, 2, 3]}}} | more)
        rounds = (
            RoundRecord(seed=0, round=0, targets={}, reply=reply),
            RoundRecord(seed=0, round=1, targets={}),
        )
        record = ScanRecord(
            case=f"s{number:03d}.a",
            subject=f"s{number:03d}",
            session="a",
            modality=modality,
            key="",
            state="done",
            rounds=rounds,
        )
        RunStore(tmp_path).write_record(record)

    for number in range(2):
        said(
            number,
            "CT",
            "HU window",
            words={"bladder": "urinary bladder"},
            classes={"lung": [28, 29]},
        )
        said(
            number, "PT", "percentiles 1 to 99", who="s000", read="/home/jane/w.pth", long="x" * 121
        )
    run = facts(
        "m",
        path=tmp_path,
        options={"large": "sliding", "clicks": "together"},
        weights="random:full",
    )
    info = replace(run.info, options=run.options, weights=WeightsInfo(name="random:full"))
    run = replace(run, info=info)
    pages = built(tmp_path, [run], list(paired(run, {"liver": [(0.9, 0.5)] * 2})))
    told = text_of(pages["provenance.html"])
    assert (
        "crop=on the click, CT: intensity=HU window, PT: intensity=percentiles 1 to 99, "
        "CT: words.bladder=urinary bladder, CT: classes.lung=28+29, PT: who=(subject), (left out: "
        "the message names a file)"
    ) in told
    assert not re.search("device=|crop_start|xxx|jane|s000", told)
    again = (
        "umd run -m m -d nowhere -p box --option large=sliding --option clicks=together "
        "--weights random:full"
    )
    assert again in told
    mounted = facts("m", path=tmp_path, weights="mounted:0123")
    identity = replace(mounted.info.identity, prompts="hash")
    info = replace(mounted.info, identity=identity, weights=WeightsInfo(name="mounted:0123"))
    mounted = replace(mounted, info=info)
    pages = built(tmp_path / "mounted", [mounted], list(paired(run, {"liver": [(0.9, 0.5)] * 2})))
    assert "-p box --weights FOLDER --prompts RUN" in text_of(pages["provenance.html"])


def test_two_versions_of_one_dataset_are_refused_and_the_old_report_stays(tmp_path):
    run, other = facts("m"), facts("n", dataset_sha256="e" * 64)
    built(tmp_path, [run], list(paired(run, {"liver": [(0.9, 0.5)] * 3})))
    before = (tmp_path / "site/index.html").read_text()
    scores = {"liver": [(0.9, 0.5)] * 3}
    with pytest.raises(RunConflictError, match="two versions of dataset data"):
        built(
            tmp_path,
            [run, other],
            [*paired(run, scores), *paired(other, scores)],
        )
    assert (tmp_path / "site/index.html").read_text() == before


def test_the_same_results_give_the_same_report(tmp_path):
    run = facts("m")
    rows = list(paired(run, {"liver": [(0.9, 0.5 + n / 30) for n in range(6)]}))
    made = []
    for _ in range(2):
        built(tmp_path, [run], rows)
        made.append(
            {
                path.name: path.read_bytes()
                for path in (tmp_path / "site").rglob("*")
                if path.is_file()
            }
        )
    assert made[0] == made[1]
