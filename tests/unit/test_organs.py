"""Organs: every UMD organ has a tolerance with a source, and text prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evaluator.errors import ManifestError
from evaluator.manifests.organs import load_organs

if TYPE_CHECKING:
    from pathlib import Path

UMD = [
    "liver",
    "kidney-left",
    "kidney-right",
    "brain",
    "heart",
    "spleen",
    "aorta",
    "lung",
    "colon",
    "bladder",
]
UMD += ["pancreas", "esophagus", "stomach"]


def test_all_organs_and_the_lesion_are_listed() -> None:
    assert set(load_organs().names()) == {*UMD, "lesion"}


@pytest.mark.parametrize("name", [*UMD, "lesion"])
def test_each_organ_has_a_tolerance_with_source_and_text_prompts(name: str) -> None:
    organs = load_organs()
    assert 1.0 <= organs.tolerance_mm(name) <= 7.0
    assert organs.source(name)
    assert all(text == text.lower() and "-" not in text for text in organs.texts(name))


def test_tolerances_of_flare22_are_used() -> None:
    """Tolerances in the challenge's script, in mm.

    Liver 5, kidneys 3, spleen 3, pancreas 5, aorta 2, esophagus 3, stomach 5.
    """
    names = (
        "liver",
        "kidney-left",
        "kidney-right",
        "spleen",
        "pancreas",
        "aorta",
        "esophagus",
        "stomach",
    )
    assert [load_organs().tolerance_mm(name) for name in names] == [5, 3, 3, 3, 5, 2, 3, 5]
    assert {load_organs().source(name) for name in names} == {"FLARE22"}


def test_an_unlisted_name_gets_the_default() -> None:
    organs = load_organs()
    assert organs.tolerance_mm("vena-cava") == 2.0
    assert organs.source("vena-cava") == "no published figure; default"
    assert organs.texts("vena-cava") == ("vena cava",)


@pytest.mark.parametrize(
    "text", ["[default]", "not toml", '[default]\ntolerance_mm = 0.0\nsource = "x"\n[organs]']
)
def test_an_invalid_file_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "organs.toml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"organs\.toml"):
        load_organs(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_organs(tmp_path / "organs.toml")
