"""Evaluates 3D medical segmentation models on paired PET/CT and PET/MRI; the command is ``umd``.

The functions of this module are the public API. ``docs/api.md`` shows them at work, and a test
executes that page. Each function imports what it needs when it is called, so ``import evaluator``
loads neither pandas nor numba.

    run            evaluate a model over a dataset under a protocol, in a container
    score          score mask files against reference files
    load           the scores and predictions of runs as pandas frames
    compare        modality against modality and model against model, paired within the subject
    rank           rank the models
    find_failures  classify failed and poor predictions
    export_run     write a run as Parquet, CSV or BIDS derivatives
    build_report   write a static site about runs

The last two carry a noun because ``evaluator.export`` and ``evaluator.report`` are packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from evaluator.analysis.comparison.compare_groups import Comparison
    from evaluator.analysis.failures import FailureAnalysis
    from evaluator.analysis.ranking import Ranks
    from evaluator.runs.results import Results
    from evaluator.runs.store import RunStore

__all__ = [
    "build_report",
    "compare",
    "export_run",
    "find_failures",
    "load",
    "rank",
    "run",
    "score",
]


def run(
    model: str,
    dataset: str | Path,
    protocol: str = "paper",
    *,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> RunStore:
    """Evaluate a model over a dataset under a protocol, as ``umd run`` does.

    Scans that are already done are kept: the same call resumes an interrupted run.

    Args:
        model: a model's name (``umd models list``).
        dataset: a dataset's name (``umd data list``) or the path of its manifest.
        protocol: a protocol's name or the path of its file.
        progress: receives the scans that have ended, the scans in all, and the outcome of the
            last one.
        **settings: any other field of ``evaluator.evaluation.run_config.RunConfig``, such as
            ``engine="local"``, ``cases=("subject-1*",)``, ``name="first-try"``, ``gpus=(0,)``,
            ``shard="1/2"``.

    Returns:
        The run's folder, scored. ``load`` and ``export_run`` take it.

    Raises:
        UserError: a name that is unknown, a file that is invalid, an engine that is missing; the
            subclasses in ``evaluator.errors`` say which. A failure of the model is not an error:
            it is a status in the results.
        HostError: the disk is full or the engine is gone. Finished scans are kept.
        TypeError: ``settings`` has a name that ``RunConfig`` lacks.
    """
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig, parse_shard

    if isinstance(settings.get("shard"), str):
        settings["shard"] = parse_shard(settings["shard"])
    config = RunConfig(model=model, dataset=str(dataset), protocol=protocol, **settings)
    return run_model(config, progress=progress or (lambda *_: None))


def score(
    prediction: str | Path,
    reference: str | Path,
    *,
    labels: Mapping[str, int | Sequence[int]] | None = None,
    metrics: Sequence[str] = (),
    tolerance_mm: float | None = None,
    image: str | Path | None = None,
    resample: bool = False,
    threads: int | None = None,
) -> pd.DataFrame:
    """Score mask files against reference files, as ``umd score --prediction --reference`` does.

    Args:
        prediction: a mask or label map (NIfTI, MHA, NRRD), or a folder of them.
        reference: the same; two folders are paired by file name.
        labels: name of a target -> its label value or values. Without it, every label in either
            file is a target under its number, and a mask of 0 and 1 is a target with the
            reference file's name.
        metrics: names in docs/metrics.md. Without it: Dice, IoU, NSD, HD, HD95, ASSD, MASD and
            the relative volume error.
        tolerance_mm: tolerance of the NSD for every target, mm. Without it: by target's name
            from manifests/organs.toml.
        image: the PET image in SUV on the reference's grid, for metrics of uptake; or a folder.
        resample: whether a prediction on another grid is resampled to the nearest voxel.
        threads: threads in all. Without it: one for each core.

    Returns:
        One row for each pair, target and metric, with the columns ``name`` (the reference file's,
        without suffix), ``target``, ``status`` (of the target in this pair), ``metric``,
        ``value`` (mm for distances; NA where the metric has no value), ``reference_ml`` and
        ``prediction_ml``.

    Raises:
        VolumeError: a file cannot be read, or the grids differ and ``resample`` is False.
        UnknownNameError: a metric that does not exist.
        UserError: a file is paired with a folder, or a metric needs ``image``.
    """
    from evaluator.scoring.score_table import score_table

    return score_table(
        prediction,
        reference,
        labels=labels,
        metrics=metrics,
        tolerance_mm=tolerance_mm,
        image=image,
        resample=resample,
        threads=threads,
    )


def load(runs: str | Path | RunStore | Iterable[str | Path | RunStore]) -> Results:
    """The results of one run or several.

    Floors and ceilings of older runs are computed first, if the dataset's files are here.

    Args:
        runs: a run's name, folder or ``RunStore``, or several; a run that is named twice counts
            once.

    Returns:
        ``Results``: ``scores`` (one row for each score), ``predictions`` (one row for each
        prediction) and ``runs`` (how each run was made).

    Raises:
        UnknownNameError: there is no such run.
        RunConflictError: two runs in different folders have the same name.
        UserError: no run is named, or a file of a run is damaged.
    """
    from pathlib import Path

    from evaluator.limits import ensure_limits
    from evaluator.runs.names import choose_runs
    from evaluator.runs.results import load as load_results
    from evaluator.runs.store import RunStore

    references = [runs] if isinstance(runs, str | Path | RunStore) else list(runs)
    stores = choose_runs(references)
    ensure_limits(stores)
    return load_results(stores)


def compare(
    results: Results,
    *,
    metrics: Sequence[str] = (),
    margins: Mapping[str, float] | None = None,
    round_number: int | None = None,
    **options: Any,
) -> Comparison:
    """Compare modalities within a model and models within a modality, paired within the subject.

    Args:
        results: from ``load``. Runs of another dataset or protocol form a group that is compared
            separately.
        metrics: names of metrics; the first is the main one. Without it: the protocol's.
        margins: metric -> margin of equivalence in the metric's unit, added to the defaults
            (Dice, IoU and NSD: 0.05).
        round_number: the round of corrections; without it, the last of each prediction.
        **options: ``confidence`` (default 0.95), ``resamples`` (of the bootstrap) and ``seed``.

    Returns:
        ``Comparison``: one frame for each question.
        ``evaluator.analysis.comparison.schema.FRAMES`` explains every column,
        docs/statistics.md the methods.

    Raises:
        RunConflictError: the runs are of two versions of a dataset or protocol.
        UnknownNameError: the protocol does not have a metric.
        UserError: a margin is not above 0.
    """
    from evaluator.analysis.comparison.compare_groups import compare as compare_results

    return compare_results(
        results, metrics=metrics, margins=margins, round_number=round_number, **options
    )


def rank(
    results: Results,
    *,
    metrics: Sequence[str] = (),
    weights: Mapping[tuple[str, str], float] | None = None,
    round_number: int | None = None,
    **options: Any,
) -> Ranks:
    """Rank the models by both orders of aggregation, with the stability of the ranking.

    Args:
        results: from ``load``.
        metrics: names of metrics. Without it: the protocol's.
        weights: (``"target"``, ``"modality"`` or ``"metric"``, its name) -> weight; 1 for others.
        round_number: the round of corrections; without it, the last of each prediction.
        **options: ``resamples`` (of subjects) and ``seed``.

    Returns:
        ``Ranks``: frames explained by ``evaluator.analysis.ranking.FRAMES``.

    Raises:
        RunConflictError: the runs are of two versions of a dataset or protocol.
        UnknownNameError: a metric or a weight's name does not exist here.
        UserError: a weight is negative.
    """
    from evaluator.analysis.ranking import rank as rank_models

    return rank_models(
        results, metrics=metrics, weights=weights, round_number=round_number, **options
    )


def find_failures(
    results: Results, *, poor: float = 0.5, round_number: int | None = None, threads: int = 2
) -> FailureAnalysis:
    """Classify every failed prediction and every poor one, and pick cases to look at.

    Args:
        results: from ``load``.
        poor: a prediction with a lower overlap score (Dice, else IoU, else NSD) is poor.
        round_number: the round of corrections; without it, the last of each prediction.
        threads: scans that are read at once. Each holds one scan's references in memory.

    Returns:
        ``FailureAnalysis``: frames explained by ``evaluator.analysis.failures.COLUMNS``.

    Raises:
        RunConflictError: the runs are of two versions of a dataset or protocol.
    """
    from evaluator.analysis.failures import find_failures as classify_failures

    return classify_failures(results, poor=poor, round_number=round_number, threads=threads)


def export_run(
    run: str | Path | RunStore, folder: str | Path, *, form: str = "parquet", keep_ids: bool = False
) -> list[Path]:
    """Write a run for others, with numbers in place of subjects' and sessions' names.

    Args:
        run: a run's name, folder or ``RunStore``.
        folder: a folder that does not exist yet or is empty.
        form: ``"parquet"``, ``"csv"`` or ``"bids-derivatives"``.
        keep_ids: whether the names of subjects, and texts that may contain them, are kept.

    Returns:
        The files written.

    Raises:
        UnknownNameError: there is no such run or format.
        UserError: the folder is not empty.
        HostError: the disk refuses.
    """
    from pathlib import Path

    from evaluator.export import export_run as write_export
    from evaluator.runs.store import RunStore

    name = run.path if isinstance(run, RunStore) else run
    return write_export(str(name), form, Path(folder), keep_ids=keep_ids)


def build_report(runs: Iterable[str | Path | RunStore], folder: str | Path, **options: Any) -> Path:
    """Write a static site about runs that opens from a file share, without a network.

    Args:
        runs: names, folders or ``RunStore``.
        folder: a folder that does not exist yet, or that holds an earlier report.
        **options: fields of ``evaluator.report.Options``, such as ``title="First results"``,
            ``images=False`` (no image of a subject), ``keep_ids=True``, ``margins={"dice": 0.03}``.

    Returns:
        The file to open, ``index.html``.

    Raises:
        RunConflictError: the runs are of two versions of a dataset or protocol.
        UnknownNameError: there is no such run.
        UserError: the folder holds something else.
    """
    from pathlib import Path

    from evaluator.report import Options
    from evaluator.report import build_report as write_report

    return write_report(runs, Path(folder), Options(**options))
