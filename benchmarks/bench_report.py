"""A report of half a million SIMULATED scores: seconds, memory, and the size of its pages.

954 subjects, 6 models, 13 organs, CT and PET or MR and PET, 2 protocols. The command builds the
report in a separate process. With ``--write`` the numbers go into docs/benchmarks.md.
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=954)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pet_ct = round(arguments.subjects * 490 / 954)
        runs = [
            simulate_run(
                Path(folder), model, protocol, pet_ct=pet_ct, pet_mr=arguments.subjects - pet_ct
            )
            for protocol, model in product(PROTOCOLS, MODELS)
        ]
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
        host = machine()
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak, processor = used.ru_maxrss / 2**20, used.ru_utime + used.ru_stime
        scores = len(MODELS) * len(PROTOCOLS) * arguments.subjects * 2 * 13 * 2
        pages = [path.stat().st_size / 2**20 for path in site.rglob("*.html")]
        figures = len(list((site / "figures").glob("*.svg")))
        total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 2**20
    rows = [
        ["seconds, everything", f"{seconds:.1f}"],
        ["processor seconds of it", f"{processor:.1f}"],
        ["largest memory, GiB", f"{peak:.2f}"],
        ["pages, and the largest, MiB", f"{len(pages)}, {max(pages):.2f}"],
        ["figures, each as SVG, PDF and CSV", f"{figures}"],
        ["all files of the folder, MiB", f"{total:.0f}"],
    ]
    title = (
        f"{scores:,} scores of {arguments.subjects} SIMULATED subjects, "
        f"{len(MODELS)} models, {len(PROTOCOLS)} protocols"
    )
    text = f"{host}.\n\n" + table([title, ""], rows)
    print(text)
    if arguments.write:
        write("bench-report", text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
