"""What a suite still needs on this machine, line by line, with the command that brings it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluator import paths
from evaluator.containers.gpus import find_gpus
from evaluator.datasets import load_dataset, root_for
from evaluator.errors import EngineUnavailableError, UserError
from evaluator.zoo import find_model, is_built
from evaluator.zoo.bundles import Bundle
from evaluator.zoo.conformance.golden_record import PASSED, golden_state
from evaluator.zoo.sources import read_sources
from evaluator.zoo.wheels import ImagePlatform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.manifests.suites import Suite
    from evaluator.zoo import ZooModel
    from evaluator.zoo.bundles import Part
    from evaluator.zoo.sources import Sources


PARTS_OF_WEIGHTS: tuple[Part, ...] = ("weights",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One thing that a suite needs."""

    state: Literal["ok", "missing"]
    #: dataset or model
    of: str
    detail: str
    #: the command that brings it; empty if there is none
    command: str = ""


def plan_suite(suite: Suite, data_root: Path | None = None) -> Iterator[PlanLine]:
    """What the suite needs: its datasets, and for each model weights, image, GPU, golden case.

    Nothing is built, fetched or written.
    """
    for name in suite.all_datasets:
        yield _dataset(name, data_root)
    for name in suite.models:
        try:
            model = find_model(name)
            sources = read_sources(name)
        except UserError as error:
            yield PlanLine(state="missing", of=name, detail=str(error))
            continue
        if sources is not None and sources.has_weights:
            yield from _network(model, sources)
        else:
            yield _image(model)


def _dataset(name: str, data_root: Path | None) -> PlanLine:
    try:
        dataset = load_dataset(name, root_for(name, data_root))
    except UserError as error:
        return PlanLine(state="missing", of=name, detail=" ".join(str(error).split()))
    absent = [
        scan.image
        for case in dataset.cases
        for scan in case.scans.values()
        if not scan.image.exists()
    ]
    if absent:
        detail = f"{len(absent)} images are missing, such as {absent[0]}"
        return PlanLine(state="missing", of=name, detail=detail, command=f"umd data verify {name}")
    return PlanLine(state="ok", of=name, detail=f"{len(dataset.cases)} cases")


def _network(model: ZooModel, sources: Sources) -> Iterator[PlanLine]:
    name = model.name
    bundle = Bundle(
        model=name,
        root=paths.cache() / "bundle",
        sources=sources,
        image=ImagePlatform(flavour="cpu"),
    )
    hashes = bundle.known_hashes(PARTS_OF_WEIGHTS)
    if sources.brought:
        yield PlanLine(
            state="missing",
            of=name,
            detail=f"weights are not published: you supply {sources.brought}",
            command=f"umd run -m {name} --weights DIR",
        )
    else:
        yield _weights(name, sources, bundle)
        golden = golden_state(name, hashes)
        yield PlanLine(
            state="ok" if golden == PASSED else "missing",
            of=name,
            detail=f"golden case: {golden} with these weights",
            command="" if golden == PASSED else f"umd models golden {name} --record",
        )
    yield _image(model)
    yield _gpu(model)


def _weights(name: str, sources: Sources, bundle: Bundle) -> PlanLine:
    absent = [
        download.into
        for download in sources.weights
        if not (bundle.weights / download.into).exists()
    ]
    if not absent:
        return PlanLine(state="ok", of=name, detail="weights are in the cache")
    terms = sorted({entry.license for entry in sources.weights if entry.commercial != "yes"})
    terms += sorted({entry.license for entry in sources.upstream if entry.commercial != "yes"})
    flags = "".join(f" --accept-licence {licence}" for licence in dict.fromkeys(terms))
    return PlanLine(
        state="missing",
        of=name,
        detail=f"weights: {len(absent)} of {len(sources.weights)} files are not in the cache",
        command=f"umd models fetch {name} --into {bundle.root}{flags}",
    )


def _image(model: ZooModel) -> PlanLine:
    command = f"umd models build {model.name}"
    try:
        built = is_built(model)
    except EngineUnavailableError as error:
        detail = f"image: {str(error).splitlines()[0]}"
        return PlanLine(state="missing", of=model.name, detail=detail, command="umd doctor")
    if built:
        return PlanLine(state="ok", of=model.name, detail="image is built")
    return PlanLine(state="missing", of=model.name, detail="image is not built", command=command)


def _gpu(model: ZooModel) -> PlanLine:
    needed = (model.card.gpu_memory or 0) / 2**30
    largest = max((gpu.memory for gpu in find_gpus()), default=0) / 2**30
    if largest >= 0.95 * needed > 0:
        return PlanLine(state="ok", of=model.name, detail=f"GPU of {largest:.0f} GiB")
    found = f"the largest has {largest:.0f} GiB" if largest else "there is none"
    detail = f"a GPU of {needed:.0f} GiB by the card; {found}, so it runs on the CPU, slowly"
    return PlanLine(state="missing", of=model.name, detail=detail)
