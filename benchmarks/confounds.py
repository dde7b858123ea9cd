"""Raw verdict, floor, ceiling and controlled verdict of models that need no GPU, on real scans.

    make confounds          runs what is missing without containers; writes docs/confounds.md
    benchmarks/confounds.py --slow-subjects 20    random-walker on all of phantom-40; hours more
    benchmarks/confounds.py RUN...    the table of runs that exist; prints only

``random-walker`` needs a minute or more for a scan of ``phantom-40``, so it runs on the first
subjects of each modality pair there; the table's n and the note above it say on how many. The model
``blind`` is ``ellipsoid`` with the box of whole voxels, as most models take it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import evaluator
from benchmarks.tables import ROOT, machine, table, write
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.evaluation.run import run_model
from evaluator.evaluation.run_config import RunConfig

SLOW = "random-walker"
#: subjects of each modality pair of phantom-40 that it runs on
SLOW_SUBJECTS = 6
#: (model, dataset, protocol); models that take no box or no point are left out there
RUNS = (
    *(
        (model, "ibsi-sts", protocol)
        for protocol in ("box", "box-common-grid")
        for model in ("blind", "ellipsoid", "threshold", "random-walker")
    ),
    *(
        (model, "ibsi-sts", protocol)
        for protocol in ("paper", "paper-common-grid")
        for model in ("threshold", "region-growing", "random-walker")
    ),
    *(
        (model, "phantom-40", protocol)
        for protocol in ("box", "box-common-grid")
        for model in ("blind", "ellipsoid", "threshold")
    ),
    *(
        (model, "phantom-40", protocol)
        for protocol in ("paper", "paper-common-grid")
        for model in ("threshold", "region-growing")
    ),
    *(
        (SLOW, "phantom-40", protocol)
        for protocol in ("box", "box-common-grid", "paper", "paper-common-grid")
    ),
)
TITLES = (
    "dataset",
    "protocol",
    "model",
    "pair",
    "n",
    "Dice",
    "floors",
    "ceilings",
    "raw difference",
    "raw verdict",
    "without the grid",
    "slope",
    "conclusion",
)


def project_with_blind(folder: Path) -> Path:
    """A copy of the checkout with the model ``blind``: ``ellipsoid`` without ``umd.box=mm``."""
    for name in ("manifests", ".dockerignore"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "dockerfiles", folder / "dockerfiles")
    shutil.copytree(ROOT / "models", folder / "models")
    text = (ROOT / "dockerfiles/ellipsoid.Dockerfile").read_text(encoding="utf-8")
    text = text.replace("ellipsoid", "blind").replace('      umd.box="mm" \\\n', "")
    (folder / "dockerfiles/blind.Dockerfile").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "models/ellipsoid", folder / "models/blind")
    return folder


def run_all(slow_subjects: int) -> list[Path]:
    """Run every combination without a container; finished runs are kept."""
    paths = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in (("UMD_CACHE", ROOT / ".umd"), ("UMD_RUNS", ROOT / "runs")):
            os.environ.setdefault(name, str(path))
        shared = ROOT.parent / "shared" / "data"
        os.environ.setdefault("UMD_SHARED_DATA", str(shared))
        os.environ["UMD_PROJECT"] = str(project_with_blind(Path(folder)))
        for model, dataset, protocol in RUNS:
            slow = model == SLOW and dataset == "phantom-40"
            config = RunConfig(
                model=model,
                dataset=dataset,
                protocol=protocol,
                engine="local",
                recheck=0,
                # the pairs alternate
                limit=2 * slow_subjects if slow else None,
            )
            paths.append(run_model(config).path)
            print(paths[-1].name, flush=True)
    return paths


def rows_of(run: Path) -> list[tuple[str, ...]]:
    """A row for each modality pair of one run, of the mean over all targets."""
    results = evaluator.load(run)
    frame = compare(results, metrics=["dice"]).modality
    frame = frame[(frame["failures"] == "counted") & (frame["n"] > 0)]
    overall = frame[frame["target"] == "all targets"]
    targets = frame["target"].nunique() - 1
    rows = []
    for row in overall.to_dict("records"):
        slopes = frame.loc[frame["modality_pair"] == row["modality_pair"], "grid_dependence"]
        slope = slopes.dropna().iloc[0] if targets == 1 and slopes.notna().any() else None
        interval = f"{_number(row['controlled_low'])} to {_number(row['controlled_high'])}"
        rows.append(
            (
                row["dataset"],
                row["protocol"],
                row["model"],
                row["modality_pair"],
                str(row["n"]),
                _pair(row, "mean"),
                _pair(row, "floor"),
                _pair(row, "ceiling"),
                _number(row["difference"]),
                str(row["verdict"]),
                f"{_number(row['controlled_difference'])} ({interval})",
                _number(slope),
                str(row["conclusion"]),
            )
        )
    return rows


def _pair(row: dict, name: str) -> str:
    return f"{_number(row[f'{name}_structural'])}, {_number(row[f'{name}_functional'])}"


def _number(value: object) -> str:
    return "–" if value is None or value != value or str(value) == "<NA>" else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs; default: run all")
    parser.add_argument(
        "--slow-subjects",
        type=int,
        default=SLOW_SUBJECTS,
        help="subjects of each pair of phantom-40 for random-walker; default: %(default)s",
    )
    parser.add_argument("--write", action="store_true", help="write the table into the page")
    arguments = parser.parse_args()
    paths = arguments.runs or run_all(arguments.slow_subjects)
    rows: list[tuple[str, ...]] = []
    for path in paths:
        rows += rows_of(path)
    text = table(TITLES, rows)
    print(text)
    if arguments.write or not arguments.runs:
        note = f"{machine()}. Each run compared alone, so no adjustment over models; engine local."
        if not arguments.runs:
            count = arguments.slow_subjects
            note += f" {SLOW} on phantom-40: the first {count} subjects of each pair."
        write("confounds", f"{note}\n\n{text}", ROOT / "docs/confounds.md")


if __name__ == "__main__":
    main()
