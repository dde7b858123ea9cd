"""Each image has the transforms that its model imports; a change of one rebuilds only its users."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from evaluator.zoo import find_model, zoo
from evaluator.zoo.base_images import _content
from evaluator.zoo.catalog import copied_files
from evaluator.zoo.image_builder import _reference, open_bundle
from evaluator.zoo.weights import Weights
from tests.tiny import ROOT

PACKAGE = "zoo_transforms"
MODELS = [model.name for model in zoo()]


def imported_transforms(file: Path) -> set[str]:
    """The modules of zoo_transforms that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            modules |= {f"{PACKAGE}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return {name.removeprefix(f"{PACKAGE}.") for name in modules if name.startswith(f"{PACKAGE}.")}


def transforms_of(model: str) -> tuple[set[str], set[str]]:
    """The modules of zoo_transforms that a model imports, directly or not, and those it copies."""
    copied = copied_files(find_model(model).dockerfile.read_text())
    waiting = set()
    for file in copied:
        if file.suffix == ".py" and file.parent.name != PACKAGE:
            waiting |= imported_transforms(file)
    imported = set()
    while waiting:
        module = waiting.pop()
        imported.add(module)
        waiting |= imported_transforms(ROOT / "models/sdk" / PACKAGE / f"{module}.py") - imported
    return imported, {file.stem for file in copied if file.parent.name == PACKAGE}


@pytest.mark.parametrize("model", MODELS)
def test_a_dockerfile_copies_the_transforms_that_its_model_imports(model):
    imported, copied = transforms_of(model)
    assert copied == (imported | {"__init__"} if imported else set())


def references() -> dict[str, str]:
    """The name of each model's up-to-date image, on base images that do not change."""
    bundles = {model.name: open_bundle(model.name, None, "cpu") for model in zoo()}
    return {
        model.name: _reference(model, ["base"], bundles[model.name], Weights(kind="none"))
        for model in zoo()
    }


@pytest.mark.parametrize("module", ["resampling", "label_maps", "prompt_geometry"])
def test_a_change_rebuilds_the_images_that_use_it_and_no_other(module, tmp_path, monkeypatch):
    users = {model for model in MODELS if module in transforms_of(model)[0]}
    assert users
    assert users != set(MODELS)
    for folder in ("models", "dockerfiles"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    monkeypatch.setenv("UMD_PROJECT", str(tmp_path))
    images, bases = references(), [_content(name, "cpu") for name in ("base", "torch")]
    with (tmp_path / "models/sdk" / PACKAGE / f"{module}.py").open("a") as file:
        file.write("\n# changed\n")
    changed = references()
    assert {model for model in MODELS if changed[model] != images[model]} == users
    assert [_content(name, "cpu") for name in ("base", "torch")] == bases
