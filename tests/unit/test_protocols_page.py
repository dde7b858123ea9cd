"""docs/protocols.md: its tables name what the program reads, and its examples load."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_core import PydanticUndefined

from evaluator.errors import ManifestError
from evaluator.manifests import protocols
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.metric_table import METRICS
from evaluator.scoring.applicability import check_metrics

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
TABLES: list[tuple[str, type[BaseModel]]] = [
    ("## The file", protocols._File),
    ("## `[prompts]`", protocols._Prompts),
    ("## `[images]`", protocols._Images),
    ("## `[rounds]`", protocols._Rounds),
]
WORDS = {"none": None, "by organ": None}
#: keys of tables whose default is a table
TABLE_KEYS = ("rounds", "images")


@pytest.mark.parametrize(("heading", "model"), TABLES)
def test_the_table_has_every_key_with_its_default(heading: str, model: type[BaseModel]) -> None:
    section = PAGE.split(heading + "\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))
    assert rows.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        text = rows[name].strip("`")
        if field.is_required():
            assert text == "required", name
        elif name not in TABLE_KEYS:
            assert field.default is not PydanticUndefined, name
            assert as_json(WORDS.get(text, text)) == as_json(field.default), name


def as_json(value: Any) -> Any:
    """A default as JSON has it: tuples are lists, and texts of the page are parsed."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return json.loads(json.dumps(value))


def test_the_examples_load_and_name_metrics(tmp_path: Path) -> None:
    assert len(EXAMPLES) == PAGE.count("```toml") >= 2
    keys: set[str] = set()
    for number, text in enumerate(EXAMPLES):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        protocol = load_protocol(str(path))
        check_metrics(protocol.metrics)
        keys |= set(re.findall(r"^(\w+) =", text, re.MULTILINE))
    offsets = [load_protocol(str(path)).prompts_of(seed).point_offset_mm for seed in (0, 1)]
    assert offsets == [0.0, 10.0]
    assert set(protocols._Rounds.model_fields) <= keys


def test_an_unknown_key_is_refused_as_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(EXAMPLES[0].replace("title =", 'colour = "red"\ntitle ='), encoding="utf-8")
    with pytest.raises(ManifestError, match="colour"):
        load_protocol(str(path))


def test_pet_lesions_has_what_nuclear_medicine_reads() -> None:
    protocol = load_protocol("pet-lesions")
    wanted = {
        "lesion_f1", "missed_lesions", "false_lesions", "missed_lesions_ml", "false_lesions_ml",
        "mtv_error_ml", "tlg_error", "suvmean_error", "suvmax_error", "suvpeak_error",
    }  # fmt: skip
    assert wanted <= set(protocol.metrics)
    assert {METRICS[name].measurement for name in wanted} == {"lesions", "uptake"}
    assert protocol.prompts.anchor[0] == "PT"
    section = PAGE.split("## `pet-lesions`")[1]
    assert "18 neighbours" in section
    assert "18 neighbours" in protocol.description
