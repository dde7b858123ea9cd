"""The results of one run or many as tidy pandas frames, and what is known of how each run was made.

results = evaluator.load("runs/region-growing.phantom.paper.1a2b3c4d")
results.scores        one row for each score, columns ``evaluator.runs.tables.COLUMNS``
results.predictions   one row for each prediction, columns ``PREDICTION_COLUMNS`` there
results.runs          one ``RunFacts`` for each run
results.groups()      the parts that may be compared: one dataset, one protocol
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api.types import union_categoricals

from evaluator.errors import RunConflictError, UnknownNameError, UserError
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.names import choose_runs
from evaluator.runs.reproducibility import read_verdict
from evaluator.runs.run_warnings import warnings_of
from evaluator.runs.store import RunStore
from evaluator.runs.tables import (
    COLUMNS,
    PREDICTION_COLUMNS,
    gathered,
    read_predictions,
    read_scores,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from evaluator.runs.run_info import RunInfo
    from evaluator.types import Protocol

#: facts that are no column of the table of runs
_NO_COLUMNS = ("card", "options", "info", "warnings")
#: columns of text with many different values, which are not made categories
_FREE_TEXT = ("detail", "mask", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run as its ``run.json`` tells of it."""

    #: the run's name, as in the tables' column ``run``
    name: str
    path: Path
    #: the card's name of the model
    model: str
    #: as in the tables' column ``model``: the card's name, with the run's where several runs of a
    #: group have that model
    label: str
    #: the card's title
    title: str
    #: every label of the image, as written
    card: Mapping[str, str]
    #: digest of the image, or of the files of a model that ran without a container
    image: str
    #: the weights are random: not a result
    random_weights: bool
    #: the model does not look at the image: a floor for models that do
    image_blind: bool
    #: "published", "random:small", "random:full", or the hash of mounted ones; empty for a model
    #: without weights
    weights: str
    #: the choices of the model's card that were taken
    options: Mapping[str, str]
    #: when some scans were asked again: "equal", "keeps-state", "not-deterministic"; "not-checked"
    reproducibility: str
    #: a container kept the model from everything but its requests
    isolates: bool
    #: "docker", "podman", "podman-socket", "apptainer", "local"
    engine: str
    #: the kind of prompt that the model got; None: it understands none that the protocol gives
    prompt_kind: str | None
    dataset: str
    dataset_sha256: str
    dataset_title: str
    #: the images or the references are made by a program
    synthetic: bool
    #: how the references came about
    reference_origin: str
    protocol: str
    protocol_sha256: str
    protocol_title: str
    #: ISO 8601, UTC
    started: str
    #: the content of run.json: command, versions, host, GPUs, licence, citation
    info: RunInfo
    #: what every table must say of the run, see ``RunStore.warnings``
    warnings: tuple[str, ...] = ()

    @property
    def store(self) -> RunStore:
        """The run's folder, for its masks and records."""
        return RunStore(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Scores and predictions of some runs.

    Text columns are categories; a group-by wants ``observed=True``.
    """

    runs: tuple[RunFacts, ...]
    scores: pd.DataFrame
    predictions: pd.DataFrame

    def run(self, name: str) -> RunFacts:
        """The run of this name. Raises UnknownNameError."""
        for facts in self.runs:
            if facts.name == name:
                return facts
        raise UnknownNameError("run among those loaded", name, [facts.name for facts in self.runs])

    def run_table(self) -> pd.DataFrame:
        """The runs as a frame, one row each, without cards, options and run.json."""
        names = [name for name in RunFacts.__slots__ if name not in _NO_COLUMNS]
        columns = {name: [getattr(run, name) for run in self.runs] for name in names}
        return pd.DataFrame(columns, columns=names)

    def groups(self) -> tuple[Group, ...]:
        """The runs by dataset and protocol, in the order of these names.

        Within one, figures may be compared.

        Raises RunConflictError where one name stands for two versions of a dataset or of a
        protocol, naming the runs.
        """
        for kind in ("dataset", "protocol"):
            _one_version(self.runs, kind)
        keys = sorted({(run.dataset, run.protocol) for run in self.runs})
        return tuple(self._group(dataset, protocol) for dataset, protocol in keys)

    def _group(self, dataset: str, protocol: str) -> Group:
        runs = tuple(run for run in self.runs if (run.dataset, run.protocol) == (dataset, protocol))
        names = [run.name for run in runs]
        scores, predictions = (
            frame[frame["run"].isin(names)] for frame in (self.scores, self.predictions)
        )
        return Group(
            dataset=dataset,
            protocol=_protocol(runs[0]),
            synthetic=any(run.synthetic for run in runs),
            results=Results(runs=runs, scores=scores, predictions=predictions),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Results of one dataset version under one protocol."""

    dataset: str
    protocol: Protocol
    synthetic: bool
    results: Results


def load(runs: str | Path | RunStore | Iterable[str | Path | RunStore]) -> Results:
    """The results of one run or many, by name, folder or store; a run given twice counts once.

    The unique beginning of a name stands for the run, and a shell pattern for several runs.

    Half a million scores take seconds and some hundred megabytes: each run's Parquet tables are
    read where they are of the run's present record, else the record itself. Raises
    UnknownNameError, and RunConflictError for two runs of one name.
    """
    references = [runs] if isinstance(runs, str | Path | RunStore) else list(runs)
    if not references:
        raise UserError("there is no run to load; name one or more")
    stores = choose_runs(references)
    for name, count in Counter(store.name for store in stores).items():
        if count > 1:
            raise RunConflictError(
                f"several runs are named {name}, in different folders; rename one of the folders"
            )
    facts = _labelled([_facts(store) for store in stores])
    scores = [_frame(store, "scores", read_scores) for store in stores]
    predictions = [_frame(store, "predictions", read_predictions) for store in stores]
    labels = {run.name: run.label for run in facts}
    return Results(
        runs=facts,
        scores=_stack(scores, labels, COLUMNS),
        predictions=_stack(predictions, labels, PREDICTION_COLUMNS),
    )


def _facts(store: RunStore) -> RunFacts:
    info = store.info()
    identity = info.identity
    return RunFacts(
        name=store.name,
        path=store.path,
        model=identity.model,
        label=identity.model,
        title=info.card.get("umd.title", identity.model),
        card=info.card,
        image=identity.image,
        random_weights=info.random_weights,
        image_blind=info.image_blind,
        weights=info.weights.name,
        options=info.options,
        reproducibility=read_verdict(store),
        isolates=info.engine.isolates,
        engine=info.engine.name,
        prompt_kind=info.prompt_kind,
        dataset=identity.dataset,
        dataset_sha256=identity.dataset_sha256,
        dataset_title=info.dataset.title,
        synthetic=info.dataset.synthetic,
        reference_origin=info.dataset.reference_origin,
        protocol=identity.protocol,
        protocol_sha256=identity.protocol_sha256,
        protocol_title=info.protocol.title,
        started=info.started,
        info=info,
        warnings=tuple(warnings_of(store)),
    )


def _labelled(runs: list[RunFacts]) -> tuple[RunFacts, ...]:
    same = Counter((run.model, run.dataset, run.protocol) for run in runs)
    return tuple(
        replace(run, label=f"{run.model} [{_distinctive(run)}]")
        if same[run.model, run.dataset, run.protocol] > 1
        else run
        for run in runs
    )


def _distinctive(run: RunFacts) -> str:
    """What tells a run from others of its model, dataset and protocol: the end of its name."""
    return run.name.removeprefix(f"{run.model}.{run.dataset}.{run.protocol}.")


def _frame(store: RunStore, name: str, read: Callable[[RunStore], pd.DataFrame]) -> pd.DataFrame:
    frame = gathered(store, name)
    frame = read(store) if frame is None else frame
    texts = [
        column for column in frame if frame[column].dtype == "string" and column not in _FREE_TEXT
    ]
    return frame.astype(dict.fromkeys(texts, "category"))


def _stack(
    frames: list[pd.DataFrame], labels: Mapping[str, str], names: tuple[str, ...]
) -> pd.DataFrame:
    """One frame of many, categories united instead of turned into text."""
    columns: dict[str, Any] = {}
    for name in names:
        parts = [frame[name] for frame in frames]
        if name == "model":
            parts = [
                _constant(labels[frame["run"].iloc[0]], len(frame))
                for frame in frames
                if len(frame)
            ]
            parts = parts or [_constant("", 0)]
        if parts and isinstance(parts[0].dtype, pd.CategoricalDtype):
            columns[name] = union_categoricals(parts, sort_categories=True)
        else:
            columns[name] = pd.concat(parts, ignore_index=True) if parts else []
    return pd.DataFrame(columns)


def _constant(text: str, length: int) -> pd.Series[Any]:
    return pd.Series(pd.Categorical.from_codes([0] * length, categories=pd.Index([text])))


def _one_version(runs: Iterable[RunFacts], kind: str) -> None:
    seen: dict[str, RunFacts] = {}
    for run in runs:
        name = getattr(run, kind)
        first = seen.setdefault(name, run)
        if getattr(first, f"{kind}_sha256") != getattr(run, f"{kind}_sha256"):
            raise RunConflictError(
                f"runs {first.name} and {run.name} are of two versions of {kind} {name} "
                f"({_short(first, kind)} and {_short(run, kind)}), so they cannot be compared; "
                "run one of them again, or leave it out"
            )


def _short(run: RunFacts, kind: str) -> str:
    return str(getattr(run, f"{kind}_sha256"))[:12]


def _protocol(run: RunFacts) -> Protocol:
    protocol = load_protocol(run.info.protocol_source)
    if protocol.sha256 != run.protocol_sha256:
        raise RunConflictError(
            f"run {run.name} was made under a protocol {run.protocol} with another content than "
            "the present one; put the old protocol file back, or make a new run"
        )
    return protocol
