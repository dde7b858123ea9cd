"""A report of half a million SIMULATED scores: seconds, memory, and the size of its pages.

954 subjects, 6 models, 13 organs, CT and PET or MR and PET, 2 protocols. The command builds the
report in a separate process. ``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from benchmarks.simulate import simulate_run
from benchmarks.tables import machine, table, write

MODELS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
PROTOCOLS = ("point-1", "box")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--subjects", type=int, default=954)
    options.add_argument("--write", action="store_true")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pet_ct = round(arguments.subjects * 490 / 954)
        pet_mr = arguments.subjects - pet_ct
        runs = []
        for protocol, model in product(PROTOCOLS, MODELS):
            run = simulate_run(Path(folder), model, protocol, pet_ct=pet_ct, pet_mr=pet_mr)
            runs.append(run)
        site = Path(folder, "site")
        program = "from evaluator.cli.main import main; main()"
        command = [
            sys.executable,
            "-c",
            program,
            "report",
            *(str(run.path) for run in runs),
            "-o",
            str(site),
            "--no-images",
        ]
        where = machine()
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak, processor = used.ru_maxrss / 2**20, used.ru_utime + used.ru_stime
        scores = len(MODELS) * len(PROTOCOLS) * arguments.subjects * 2 * 13 * 2
        pages = [path.stat().st_size / 2**20 for path in site.rglob("*.html")]
        figures = len(list((site / "figures").glob("*.svg")))
        folder_size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 2**20
    rows = [
        ["seconds, everything", f"{seconds:.1f}"],
        ["processor seconds of it", f"{processor:.1f}"],
        ["largest memory, GiB", f"{peak:.2f}"],
        ["pages, and the largest, MiB", f"{len(pages)}, {max(pages):.2f}"],
        ["figures, each as SVG, PDF and CSV", f"{figures}"],
        ["the folder, MiB", f"{folder_size:.0f}"],
    ]
    runs_text = f"{len(MODELS)} models, {len(PROTOCOLS)} protocols"
    what = f"{scores:,} scores of {arguments.subjects} SIMULATED subjects, {runs_text}"
    text = f"{where}.\n\n" + table([what, ""], rows)
    print(text)
    if arguments.write:
        write("bench-report", text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
