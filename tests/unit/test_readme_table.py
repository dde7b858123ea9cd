"""The table of checks in docs/models.md is made from the records, and states the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.containers.engines.spec import Model
from evaluator.errors import ManifestError
from evaluator.zoo import find_model
from evaluator.zoo.conformance.readme_table import (
    BEGIN,
    END,
    badge_table,
    update_models_page,
    write_record,
)
from evaluator.zoo.conformance.results import Result
from evaluator.zoo.prepare import PreparedModel
from tests.tiny import PAINTER, ROOT


def test_the_page_shows_the_records():
    text = Path(ROOT, "docs/models.md").read_text()
    assert text.split(BEGIN)[1].split(END)[0].strip() == badge_table()


def test_a_record_becomes_a_row(project):
    folder = project({"painter": PAINTER})
    model = Model(
        card=find_model("painter").card, image="umd/painter", digest="sha256:1", adapter=None
    )
    results = [
        Result(
            check="batch",
            ok=True,
            detail="",
            measured={"slowest_seconds": 0.0712, "huge_seconds": 123.4},
        ),
        Result(check="session equals batch", ok=False, detail="differ"),
    ]
    write_record("painter", PreparedModel(model=model, identity="random:small", hashes={}), results)
    row = badge_table().splitlines()[-1]
    assert row.startswith(
        "| `painter` | random:small: not a result | not run | 1 of 2 (not: session equals batch) "
        "| 0.071 | 123 | - |"
    )
    page = folder / "docs/models.md"
    page.write_text("# no table\n")
    with pytest.raises(ManifestError, match="no place for the table"):
        update_models_page()
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert update_models_page()
    assert page.read_text() == f"before\n{BEGIN}\n{badge_table()}\n{END}\nafter\n"
    assert not update_models_page()
