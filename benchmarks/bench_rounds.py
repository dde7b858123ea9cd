"""Rounds of corrections on whole bodies: one session, against one container for each scan and round; and the clicks.

SYNTHETIC subjects, 13 organs, protocol box-clicks-5 (six rounds), a model whose load takes 3 s and whose answer 0.2 s
(``known_model``). The masks of a round are handed back, as the protocol says; the model does not read them. Both ways in
this one run, on the same requests. Then the time that one round's clicks take, with the plain way to find them beside it.

    python benchmarks/bench_rounds.py [--cases 10] [--size 400 400 350] [--singles 10]

With --singles N the single containers are timed on N of the cases, and their time is scaled up (the page says so).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.clicks import compare_clicks
from benchmarks.known_model import ANSWER, LOAD, remember
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
    asked = options.parse_args()
    where = machine()
    from evaluator import paths

    with tempfile.TemporaryDirectory(dir=paths.cache()) as folder:
        os.environ |= {"UMD_RUNS": folder + "/runs", "UMD_CACHE": str(paths.cache())}
        path = make_data(Path(folder, "data"), asked.cases, tuple(asked.size))
        os.environ["UMD_PROJECT"] = str(
            make_project(Path(folder, "project"), "phantom-toy", str(path))
        )
        rounds = compare_rounds(path, asked)
        clicks = [] if asked.no_clicks else compare_clicks(path, Path(folder))
    text = "\n".join([f"`{command()}`, {where}.", "", *rounds, "", *clicks])
    print(text)
    if not asked.no_clicks:
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
    """A project whose one model, "known", has been given the answers of these datasets."""
    from evaluator.datasets import load_dataset
    from evaluator.datasets.references import load_references
    from tests import tiny

    tiny.make_project(folder, {"known": Path(__file__).with_name("known_model.py").read_text()})
    dockerfile = folder / "dockerfiles/known.Dockerfile"
    copies = "COPY models/known/known.npz /opt/model/known.npz\nCOPY models/known/adapter.py"
    dockerfile.write_text(dockerfile.read_text().replace("COPY models/known/adapter.py", copies))
    scans = [
        scan
        for source in datasets
        for case in load_dataset(source).cases
        for scan in case.scans.values()
    ]
    remember(
        folder / "models/known/known.npz",
        [pair for scan in scans for pair in load_references(scan).masks.items()],
    )
    return folder


def compare_rounds(path: Path, asked: argparse.Namespace) -> list[str]:
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.runs.tables import read_scores

    def run(name: str, **more: object) -> tuple[float, object, list[dict]]:
        order = {
            "model": "known",
            "dataset": str(path),
            "protocol": "box-clicks-5",
            "engine": asked.engine,
            "recheck": 0,
        } | more
        begun = time.perf_counter()
        made = run_model(RunConfig(name=name, **order), progress=lambda *_: None)
        return (
            time.perf_counter() - begun,
            made,
            [e for record in made.records() for e in record.rounds],
        )

    run("warm", dataset="phantom-toy")  # builds the image, compiles the kernels
    session, one, entries = run("session")
    waited = sum(entry.seconds for entry in entries)
    load = sum(entry.load_seconds or 0 for entry in entries)
    cases = asked.singles or asked.cases
    patterns = tuple(f"phantom-{n + 1:03d}" for n in range(cases))
    singles, other, answered = run("single", batch=True, scans_a_batch=1, cases=patterns)
    whole = singles * len(entries) / len(answered)
    same = shared_scores(read_scores(one), read_scores(other))
    scaled = "" if cases == asked.cases else f", from {len(answered)} of them"
    own, overhead = load + waited, session - load - waited
    size = " × ".join(map(str, asked.size))
    told = f"{asked.cases} synthetic subjects, {asked.cases * 2} scans ({size}, PET coarser), 13 organs, six rounds"
    return [
        f"{told}, {len(entries)} requests; scores equal both ways: {'yes' if same else 'NO'}.",
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
                    f"{overhead:.1f} ({100 * overhead / own:.0f} % of the model's)",
                ),
                (
                    f"one container for each scan and round, {whole / len(entries):.2f} s each{scaled}",
                    f"{whole:.0f}",
                ),
                ("times the session", f"{whole / session:.1f}"),
            ],
        ),
    ]


def shared_scores(one: object, other: object) -> bool:
    keys = ["case", "modality", "seed", "round", "target", "metric"]
    both = one.merge(other, on=keys, suffixes=("", "_other"))
    equal = (both["value"] == both["value_other"]) | (
        both["value"].isna() & both["value_other"].isna()
    )
    return bool(
        len(both) == len(other) and equal.all() and (both["status"] == both["status_other"]).all()
    )


if __name__ == "__main__":
    main()
