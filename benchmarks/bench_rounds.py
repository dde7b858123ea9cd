"""Rounds of corrections on whole bodies: one session against one container for each round.

SYNTHETIC subjects, 13 organs, protocol box-clicks-5 (six rounds), a model that loads for 3 s and
answers in 0.2 s (``known_model``). The masks of a round are sent back, as the protocol defines; the
model does not read them. The two ways get the same requests. Then the time of one round's clicks is
measured, beside a plain method to find them.

    python benchmarks/bench_rounds.py [--cases 10] [--size 400 400 350] [--singles 10]

With --singles N the single containers are timed on N of the cases, and their time is scaled up.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.clicks import compare_clicks
from benchmarks.known_model import ANSWER, LOAD, write_answers
from benchmarks.tables import command, machine, table, write


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cases", type=int, default=10)
    options.add_argument("--size", type=int, nargs=3, default=(400, 400, 350))
    options.add_argument(
        "--singles", type=int, help="cases on which single containers are timed (default: all)"
    )
    options.add_argument("--engine", default="auto")
    options.add_argument(
        "--no-clicks", action="store_true", help="leave the clicks out, and the page as it is"
    )
    arguments = options.parse_args()
    where = machine()
    from evaluator import paths

    with tempfile.TemporaryDirectory(dir=paths.cache()) as folder:
        os.environ |= {"UMD_RUNS": folder + "/runs", "UMD_CACHE": str(paths.cache())}
        path = make_data(Path(folder, "data"), arguments.cases, tuple(arguments.size))
        os.environ["UMD_PROJECT"] = str(
            make_project(Path(folder, "project"), "phantom-toy", str(path))
        )
        rounds = compare_rounds(path, arguments)
        clicks = [] if arguments.no_clicks else compare_clicks(path, Path(folder))
    text = "\n".join([f"`{command()}`, {where}.", "", *rounds, "", *clicks])
    print(text)
    if not arguments.no_clicks:
        write("bench-rounds", text)


def make_data(folder: Path, cases: int, size: tuple[int, ...]) -> Path:
    from evaluator.datasets.phantom import generate
    from evaluator.manifests.datasets import DatasetManifest, PhantomPlan

    facts = {
        "title": "bench",
        "license": "CC0-1.0",
        "citation": "none",
        "reference_origin": "generated",
    }
    plan = PhantomPlan(cases=cases, size=size, seed=1)
    generate(
        DatasetManifest(
            path=folder, sha256="", name="bench", synthetic=True, phantom=plan, **facts
        ),
        folder,
    )
    return folder / "bench.toml"


def make_project(folder: Path, *datasets: str) -> Path:
    """A project whose only model, "known", contains the references of these datasets."""
    from evaluator.datasets import load_dataset
    from evaluator.datasets.references import load_references
    from tests import tiny

    tiny.make_project(folder, {"known": Path(__file__).with_name("known_model.py").read_text()})
    dockerfile = folder / "dockerfiles/known.Dockerfile"
    copies = "COPY models/known/known.npz /opt/model/known.npz\nCOPY models/known/adapter.py"
    dockerfile.write_text(dockerfile.read_text().replace("COPY models/known/adapter.py", copies))
    masks = []
    for source in datasets:
        for case in load_dataset(source).cases:
            for scan in case.scans.values():
                masks += load_references(scan).masks.items()
    write_answers(folder / "models/known/known.npz", masks)
    return folder


def compare_rounds(path: Path, arguments: argparse.Namespace) -> list[str]:
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.runs.tables import read_scores

    def run(name: str, **more: object) -> tuple[float, object, list[dict]]:
        config = {
            "model": "known",
            "dataset": str(path),
            "protocol": "box-clicks-5",
            "engine": arguments.engine,
            "recheck": 0,
        } | more
        begun = time.perf_counter()
        store = run_model(RunConfig(name=name, **config), progress=lambda *_: None)
        seconds = time.perf_counter() - begun
        entries = []
        for record in store.records():
            entries += record.rounds
        return seconds, store, entries

    run("warm", dataset="phantom-toy")  # builds the image, compiles the kernels
    session, session_store, entries = run("session")
    waited = sum(entry.seconds for entry in entries)
    load = sum(entry.load_seconds or 0 for entry in entries)
    cases = arguments.singles or arguments.cases
    patterns = tuple(f"phantom-{n + 1:03d}" for n in range(cases))
    singles, single_store, answered = run("single", batch=True, scans_per_batch=1, cases=patterns)
    scaled_seconds = singles * len(entries) / len(answered)
    same = shared_scores(read_scores(session_store), read_scores(single_store))
    scaled = "" if cases == arguments.cases else f", from {len(answered)} of them"
    of_model, overhead = load + waited, session - load - waited
    size = " × ".join(map(str, arguments.size))
    scans = f"{arguments.cases * 2} scans ({size}, PET coarser)"
    what = f"{arguments.cases} synthetic subjects, {scans}, 13 organs, six rounds"
    each = (
        f"one container for each scan and round, {scaled_seconds / len(entries):.2f} s each{scaled}"
    )
    return [
        f"{what}, {len(entries)} requests; scores equal both ways: {'yes' if same else 'NO'}.",
        "",
        table(
            ("", "seconds"),
            [
                ("one session, everything", f"{session:.1f}"),
                (
                    "of it the model: its load, and the wait for its answers",
                    f"{load:.1f} + {waited:.1f}",
                ),
                ("of it the model's sleep alone", f"{LOAD + ANSWER * len(entries):.1f}"),
                (
                    "of it the evaluator beyond the model",
                    f"{overhead:.1f} ({100 * overhead / of_model:.0f} % of the model's)",
                ),
                (each, f"{scaled_seconds:.0f}"),
                ("times the session", f"{scaled_seconds / session:.1f}"),
            ],
        ),
    ]


def shared_scores(scores: object, fewer: object) -> bool:
    """Whether the second table's scores are equal to the first's."""
    keys = ["case", "modality", "seed", "round", "target", "metric"]
    merged = scores.merge(fewer, on=keys, suffixes=("", "_fewer"))
    equal = merged["value"] == merged["value_fewer"]
    missing = merged["value"].isna() & merged["value_fewer"].isna()
    same_status = merged["status"] == merged["status_fewer"]
    return bool(len(merged) == len(fewer) and (equal | missing).all() and same_status.all())


if __name__ == "__main__":
    main()
