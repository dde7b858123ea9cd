"""The pages in docs/ describe what exists. Another test executes docs/api.md (test_api_page.py)."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from evaluator import findings, statistics
from evaluator.challenges import leaderboard_records, result_file
from evaluator.challenges import records as challenge_records
from evaluator.challenges.event_log import Event
from evaluator.cli.main import COMMANDS
from evaluator.evaluation import suites
from evaluator.evaluation.cluster import slurm_records
from evaluator.prompting.stop_reason import StopReason
from evaluator.runs import (
    changed_files,
    data_checks,
    finished_cases,
    processes,
    records,
    reproducibility_records,
    run_info,
    score_limits,
)
from evaluator.runs.json_types import FORMAT
from evaluator.types import TargetPrompt
from zoo_sdk.wire import Box, BoxMm, Grid, Point, Reply

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECTIONS = ["Context", "Decision", "Alternatives", "Consequences"]


def test_the_statistics_page_names_every_function_and_verdict():
    text = (DOCS / "statistics.md").read_text(encoding="utf-8")
    for name in statistics.__all__:
        if name[0].islower():
            assert f"`{name}`" in text, name
    for verdict in ("different", "equivalent", "different within margin", "inconclusive"):
        assert f"**{verdict}**" in text
    begin, end = "<!-- bench-statistics -->", "<!-- /bench-statistics -->"
    assert text.count(begin) == text.count(end) == 1
    table = text.split(begin)[1].split(end)[0]
    assert len(table.splitlines()) > 30


def test_the_index_of_decisions_names_every_record():
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in index.splitlines() if line.startswith("| [")]
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert len(rows) == len(records)
    for row, path in zip(rows, records, strict=True):
        text = path.read_text(encoding="utf-8")
        number, title = re.match(r"# (\d{4}): (.+)\n", text).groups()
        status, date = re.search(
            r"^Status: (.+)\. Date: ([\d-]{10})\.$", text, re.MULTILINE
        ).groups()
        assert row == f"| [{number}]({path.name}) | {title} | {date} | {status} |"
        assert path.name.startswith(number)
        assert re.findall("^## (.+)$", text, re.MULTILINE) == SECTIONS, path.name


def test_the_index_of_validations_names_every_page():
    index = (DOCS / "validation" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (DOCS / "validation").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"^\| \[.+?\]\((.+?)\)", index, re.MULTILINE)) == pages
    for page in pages:
        text = (DOCS / "validation" / page).read_text(encoding="utf-8")
        for row in ("| upstream |", "| script |", "| volumes |", "| weights |", "| not run |"):
            assert row in text, (page, row)
        assert "| compared | on | largest difference |" in text
        assert set(re.findall(r"tests/zoo_images/upstream/\w+\.py", text)) <= {
            str(path.relative_to(ROOT)) for path in (ROOT / "tests/zoo_images/upstream").iterdir()
        }


def test_links_between_pages_lead_somewhere():
    for page in (*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("models/*/README.md")):
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not re.match("[a-z]+:", link):
                assert (page.parent / link).exists(), (page.name, link)


def test_where_things_go_is_the_same_in_both_places_and_exists():
    tables = [
        table_of_places(page) for page in (ROOT / "CONTRIBUTING.md", DOCS / "architecture.md")
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) > 10
    folders = "evaluator|models|manifests|dockerfiles"
    for path in re.findall(rf"`((?:{folders})/[^`<]+)`", "".join(tables[0])):
        assert (ROOT / path).exists(), path


def table_of_places(page: Path) -> list[str]:
    """The rows of the table under "Where does X go"."""
    section = page.read_text(encoding="utf-8").split("## Where does X go")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")]


def test_the_glossary_is_on_the_first_screen():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = text.split("\n## ")[0]
    glossary = first_screen.split("| word | meaning |\n|---|---|\n")[1].strip().splitlines()
    assert len(glossary) <= 15
    assert first_screen.count("    make ") == 2


def test_the_way_of_one_run_names_each_file_once():
    way = (DOCS / "architecture.md").read_text(encoding="utf-8").split("## The way of one run")[1]
    files = re.findall(r"^\| \d+ \| `([^`]+)` \|", way, re.MULTILINE)
    assert files[0] == "evaluator/cli/run.py"
    assert len(set(files)) == len(files) <= 14
    for file in files:
        assert (ROOT / file).is_file(), file


def test_the_run_format_page_names_every_field_of_every_type():
    text = (DOCS / "run-format.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    types = {*run_file_types(), TargetPrompt, Point, Box, BoxMm, Grid, Reply, StopReason}
    assert sections.keys() == {kind.__name__ for kind in types}
    for kind in types:
        fields = {field.name for field in dataclasses.fields(kind)}
        named = re.findall(r"^\| `(\w+)` \|", sections[kind.__name__], re.MULTILINE)
        assert set(named) == fields, kind.__name__
        assert len(named) == len(fields), kind.__name__
    assert f"The present format is {FORMAT}." in text


def test_the_challenge_format_page_names_every_field_of_every_type():
    text = (DOCS / "challenge-format.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    types = {Event}
    for module in (challenge_records, result_file, leaderboard_records):
        for _, kind in inspect.getmembers(module, dataclasses.is_dataclass):
            types.add(kind)
    assert sections.keys() == {kind.__name__ for kind in types}
    for kind in types:
        fields = {field.name for field in dataclasses.fields(kind)}
        named = re.findall(r"^\| `(\w+)` \|", sections[kind.__name__], re.MULTILINE)
        assert set(named) == fields, kind.__name__
        assert len(named) == len(fields), kind.__name__


def run_file_types() -> set[type]:
    """The dataclasses that describe files of a run folder."""
    types: set[type] = set()
    modules = (
        changed_files, data_checks, findings, finished_cases, processes, records,
        reproducibility_records, run_info, score_limits, slurm_records, suites,
    )  # fmt: skip
    for module in modules:
        for _, kind in inspect.getmembers(module, dataclasses.is_dataclass):
            if kind.__module__ == module.__name__:
                types.add(kind)
    return types - {records.ScanPrompts, processes.Liveness}


def test_the_readme_names_every_command_protocol_and_model():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"`umd (\w[\w-]*)", text))
    assert commands == set(COMMANDS)
    protocols = {path.stem for path in (ROOT / "manifests/protocols").glob("*.toml")}
    text = text.replace("`point-1/3/5`", "`point-1`, `point-3`, `point-5`")
    named = set(re.findall(r"`([\w-]+)`", text))
    assert protocols <= named
    models = (DOCS / "models.md").read_text(encoding="utf-8")
    for path in (ROOT / "dockerfiles").glob("*.Dockerfile"):
        if path.stem not in ("base", "torch"):
            assert f"`{path.stem}`" in models, path.stem
