"""Rounds of corrections on whole bodies: one session, or one container for each scan and round.

SYNTHETIC subjects, 13 organs, protocol box-clicks-5 (six rounds), a model that takes 3 s to load
and
0.2 s to answer (``known_model``). The masks of a round are given to the next one, as the protocol
requires; the model does not read them. Both ways run on the same requests. Then the clicks of one
round are timed, beside a simple method that searches the complete volume.

    python benchmarks/bench_rounds.py [--cases 10] [--size 400 400 350] [--singles 10]

With --singles N the single containers are timed on N of the cases and their time is scaled up (the
page then says so).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import chain
from pathlib import Path

from benchmarks.clicks import compare_clicks
from benchmarks.known_model import ANSWER, LOAD, remember
from benchmarks.tables import command, machine, table, write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=3, default=(400, 400, 350))
    parser.add_argument(
        "--singles", type=int, help="cases on which single containers are timed (default: all)"
    )
    parser.add_argument("--engine", default="auto")
    parser.add_argument(
        "--no-clicks", action="store_true", help="leave the clicks out, and the page as it is"
    )
    arguments = parser.parse_args()
    host = machine()
    from evaluator import paths

    with tempfile.TemporaryDirectory(dir=paths.cache()) as folder:
        os.environ |= {"UMD_RUNS": folder + "/runs", "UMD_CACHE": str(paths.cache())}
        path = make_data(Path(folder, "data"), arguments.cases, tuple(arguments.size))
        os.environ["UMD_PROJECT"] = str(
            make_project(Path(folder, "project"), "phantom-toy", str(path))
        )
        rounds = compare_rounds(path, arguments)
        clicks = [] if arguments.no_clicks else compare_clicks(path, Path(folder))
    text = "\n".join([f"`{command()}`, {host}.", "", *rounds, "", *clicks])
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
    """A project whose only model, "known", gets the reference masks of these datasets."""
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
    remember(folder / "models/known/known.npz", masks)
    return folder


def compare_rounds(path: Path, arguments: argparse.Namespace) -> list[str]:
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.runs.tables import read_scores

    def run(name: str, **options: object) -> tuple[float, object, list[dict]]:
        order = {
            "model": "known",
            "dataset": str(path),
            "protocol": "box-clicks-5",
            "engine": arguments.engine,
            "recheck": 0,
        } | options
        begun = time.perf_counter()
        result = run_model(RunConfig(name=name, **order), progress=lambda *_: None)
        seconds = time.perf_counter() - begun
        rounds = chain.from_iterable(record.rounds for record in result.records())
        return seconds, result, list(rounds)

    run("warm", dataset="phantom-toy")  # builds the image, compiles the kernels
    session, in_session, entries = run("session")
    waited = sum(entry.seconds for entry in entries)
    load = sum(entry.load_seconds or 0 for entry in entries)
    cases = arguments.singles or arguments.cases
    patterns = tuple(f"phantom-{n + 1:03d}" for n in range(cases))
    singles, in_containers, answered = run("single", batch=True, scans_per_batch=1, cases=patterns)
    all_singles = singles * len(entries) / len(answered)
    same = shared_scores(read_scores(in_session), read_scores(in_containers))
    scaled = "" if cases == arguments.cases else f", from {len(answered)} of them"
    model_seconds = load + waited
    overhead = session - model_seconds
    each = f"{all_singles / len(entries):.2f} s each"
    size = " × ".join(map(str, arguments.size))
    title = (
        f"{arguments.cases} synthetic subjects, {arguments.cases * 2} scans ({size}, PET coarser), "
        "13 organs, six rounds"
    )
    return [
        f"{title}, {len(entries)} requests; scores equal both ways: {'yes' if same else 'NO'}.",
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
                    f"{overhead:.1f} ({100 * overhead / model_seconds:.0f} % of the model's)",
                ),
                (
                    f"one container for each scan and round, {each}{scaled}",
                    f"{all_singles:.0f}",
                ),
                ("times the session", f"{all_singles / session:.1f}"),
            ],
        ),
    ]


def shared_scores(a: object, b: object) -> bool:
    keys = ["case", "modality", "seed", "round", "target", "metric"]
    merged = a.merge(b, on=keys, suffixes=("", "_other"))
    equal = (merged["value"] == merged["value_other"]) | (
        merged["value"].isna() & merged["value_other"].isna()
    )
    return bool(
        len(merged) == len(b) and equal.all() and (merged["status"] == merged["status_other"]).all()
    )


if __name__ == "__main__":
    main()
