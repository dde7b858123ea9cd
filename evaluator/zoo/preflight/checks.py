"""All checks of ``umd models preflight``."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator import paths
from evaluator.containers.gpus import find_gpus
from evaluator.errors import EngineUnavailableError, ModelFilesError
from evaluator.manifests.organs import load_organs
from evaluator.zoo.cards import read_text_prompts
from evaluator.zoo.fetching import COMMERCIAL_USE
from evaluator.zoo.image_transfer import is_built
from evaluator.zoo.preflight.expectations import read_expectations
from evaluator.zoo.preflight.verdict import write_verdict
from evaluator.zoo.preflight.weight_files import PreflightResult, check_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from evaluator.zoo.catalog import ZooModel
    from evaluator.zoo.preflight.weight_files import State
    from evaluator.zoo.sources import Sources

GIB = 2**30


def preflight(model: ZooModel, sources: Sources, folder: Path | None) -> Iterator[PreflightResult]:
    """Check a model before it is run with published weights.

    Args:
        model: the model.
        sources: the sources of its image.
        folder: its weights, laid out as /opt/ml/model; None if there are none on this machine.
            The verdict on them is kept (``evaluator.zoo.preflight.verdict``).
    """
    yield _image(model)
    if folder is None:
        yield _result("weights", "not-run", f"not on this machine: umd models fetch {model.name}")
    else:
        files = list(check_files(model.name, sources, folder))
        write_verdict(model.name, files)
        yield from files
    yield _texts(model, folder)
    yield from _licences(sources)
    yield _disk(sources)
    yield _gpu(model)


def _result(check: str, state: State, detail: str) -> PreflightResult:
    return PreflightResult(check=check, state=state, detail=detail)


def _image(model: ZooModel) -> PreflightResult:
    """The check of Python, torch and imports is a step of the build: a built image passed it."""
    try:
        built = is_built(model)
    except EngineUnavailableError as error:
        return _result("image", "not-run", str(error).splitlines()[0])
    if not built:
        return _result("image", "not-run", f"not built: umd models build {model.name}")
    return _result("image", "ok", "built, so Python, torch and imports fit each other")


def _texts(model: ZooModel, folder: Path | None) -> PreflightResult:
    """Look up the words of all organs that the model can be asked for."""
    check, texts = "texts", read_expectations(model.name).texts
    if texts is None:
        known = "text" in model.card.prompts
        reason = "any text is encoded" if known else "has no text prompts"
        return _result(check, "ok", reason)
    if texts.bank and (folder is None or not (folder / texts.bank).is_file()):
        return _result(check, "not-run", f"{texts.bank} is not on this machine")
    knows = _lookup(model, folder, texts.bank, texts.module)
    replaced = read_text_prompts(model.card)
    missing, others = [], []
    for organ, definition in load_organs().organs.items():
        if model.card.targets is not None and organ not in model.card.targets:
            continue
        first, *synonyms = definition.texts
        if not knows(replaced.get(organ, first)):
            missing.append(f"{organ} ({first!r})")
        others += [text for text in synonyms if not knows(text)]
    detail = "the model knows the first text of every organ"
    if missing:
        detail = f"unsupported, as the model does not know: {', '.join(missing)}"
    if others:
        detail += f"; other texts that it does not know: {', '.join(others)}"
    return _result(check, "unknown" if missing else "ok", detail)


def _lookup(
    model: ZooModel, folder: Path | None, bank: str | None, module: str | None
) -> Callable[[str], bool]:
    if bank and folder:
        with np.load(folder / bank, allow_pickle=False) as content:
            labels = {str(text) for text in content["labels"]}
        return lambda text: text.lower() in labels
    loaded = _load(paths.project() / "models" / model.name / str(module), model.modules)
    return lambda text: bool(loaded.numbers(text))


def _load(path: Path, folders: Sequence[Path]) -> Any:
    """Import a module of an adapter; ``folders`` hold the modules of other models beside it."""
    name = f"texts_of_{path.parent.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelFilesError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    before = set(sys.modules)
    sys.path[:0] = map(str, folders)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.path[: len(folders)]
        # another model has modules of these names, too
        for beside in {file.stem for folder in folders for file in folder.glob("*.py")} - before:
            sys.modules.pop(beside, None)
    return module


def _licences(sources: Sources) -> Iterator[PreflightResult]:
    terms = {
        (download.license, download.commercial)
        for download in (*sources.weights, *sources.auxiliary)
    }
    for licence, commercial in sorted(terms):
        state: State = "ok" if commercial == "yes" else "unknown"
        yield _result("licence", state, f"{licence} ({COMMERCIAL_USE[commercial]})")


def _disk(sources: Sources) -> PreflightResult:
    sizes = [download.bytes or 0 for download in sources.weights]
    folder = next(p for p in (paths.cache(), *paths.cache().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    # in the bundle, in the build context, and in the image
    needed = 3 * sum(sizes)
    state: State = "ok" if free > needed else "failed"
    detail = f"{free / GIB:.0f} GiB free, at least {needed / GIB:.1f} GiB needed for the weights"
    return _result("disk", state, detail)


def _gpu(model: ZooModel) -> PreflightResult:
    card, gpus = model.card, find_gpus()
    wanted = f"the card says {(card.gpu_memory or 0) / GIB:.0f} GiB"
    if card.gpu == "none":
        return _result("GPU", "ok", "not needed")
    if not gpus:
        state: State = "failed" if card.gpu == "required" else "not-run"
        return _result("GPU", state, f"no GPU on this machine; {wanted}")
    largest = max(gpus, key=lambda gpu: gpu.memory)
    fits = not card.gpu_memory or not largest.memory or largest.memory >= 0.95 * card.gpu_memory
    return _result(
        "GPU",
        "ok" if fits else "failed",
        f"{largest.name}, {largest.memory / GIB:.0f} GiB; {wanted}",
    )
