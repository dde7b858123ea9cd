"""How a run grows with its subjects: many tiny SYNTHETIC scans, a model that only paints boxes.

    make bench-scale            # or: PYTHONPATH=. python benchmarks/bench_scale.py [--write]

Each subject has a PET and a CT image of a few thousand voxels with 13 organs. The model paints the
box of each prompt (engine ``local``), so nearly all time is the evaluator's. Every command is run
as a user runs it, in a process of its own. Processor seconds are those of the command and of the
processes that it started, the model's included. ``--write`` puts table and plot into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import command, machine, table, write

ORGANS = (
    "liver", "spleen", "brain", "heart", "stomach", "pancreas", "urinary_bladder",
    "kidney_left", "kidney_right", "lung_left", "lung_right", "aorta", "gallbladder",
)  # fmt: skip
SHAPE = (26, 22, 20)
UMD = Path(sys.executable).with_name("umd")
#: columns of the plot
WIDTH = 50


@dataclass(frozen=True, slots=True)
class Measured:
    """One command."""

    wall: float
    processor: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, nargs="+", default=(100, 300, 1000))
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--no-report", action="store_true", help="leave `umd report` out")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    host = machine()
    rows = []
    for subjects in arguments.subjects:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), subjects, arguments))
        print(rows[-1], flush=True)
    text = "\n".join([f"`{command()}`, {host}.", "", *describe(rows, arguments)])
    print(text)
    if arguments.write:
        write("bench-scale", text)


def measure(folder: Path, subjects: int, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of one number of subjects."""
    models = [f"painter-{number + 1}" for number in range(arguments.models)]
    environment = prepare(folder, subjects, models)
    runs = [f"of-{model}" for model in models]

    def umd(*words: str) -> Measured:
        return timed([str(UMD), "-qq", *words], environment)

    def run(model: str) -> Measured:
        data = str(folder / "data/tiny.toml")
        words = ("-m", model, "-d", data, "-p", "box", "--engine", "local", "--recheck", "0")
        return umd("run", *words, "--name", f"of-{model}")

    first = [run(model) for model in models]
    resumed = [run(model) for model in models]
    places = list(folder.joinpath("runs").rglob("*"))
    files = [path for path in places if path.is_file()]
    scans = 2 * subjects * len(models)
    figures = {
        "subjects": subjects,
        "scans": scans,
        "run": sum(each.processor for each in first),
        "run wall": sum(each.wall for each in first),
        "run peak": max(each.peak_mib for each in first),
        "resume": sum(each.processor for each in resumed) / len(models),
        "resume wall": sum(each.wall for each in resumed) / len(models),
        "resume peak": max(each.peak_mib for each in resumed),
        "files": len(files),
        "MB": sum(path.stat().st_size for path in files) / 1e6,
        "show": umd("show", runs[0]).processor,
        "compare": umd("compare", *runs).processor,
    }
    if not arguments.no_report:
        report = umd("report", *runs, "-o", str(folder / "site"), "--no-images")
        figures |= {"report": report.processor, "report peak": report.peak_mib}
    return figures


def prepare(folder: Path, subjects: int, models: list[str]) -> dict[str, str]:
    """A project with the models, and a dataset; returns the environment of the commands."""
    from tests import tiny

    adapter = tiny.PAINTER
    project = tiny.make_project(folder / "project", dict.fromkeys(models, adapter))
    make_dataset(folder / "data", subjects)
    places = {
        "UMD_PROJECT": str(project),
        "UMD_RUNS": str(folder / "runs"),
        "UMD_CACHE": str(folder / "cache"),
    }
    return os.environ | places


def make_dataset(folder: Path, subjects: int) -> None:
    """Boxes of 13 organs in two grids of one world; each subject's images hold other noise."""
    import numpy as np

    from evaluator.imaging.geometry import make_grid
    from evaluator.volumes import write_volume

    folder.mkdir(parents=True)
    rows = ["subject\tsession\tmodality\timage\treference\tunit\tlabels"]
    labels = np.zeros(SHAPE, np.uint8, order="F")
    for number in range(len(ORGANS)):
        i, j, k = 2 + 6 * (number % 4), 2 + 5 * (number // 4), 3
        labels[i : i + 4, j : j + 3, k : k + 12] = number + 1
    for modality in ("CT", "PT"):
        write_volume(folder / f"{modality}.nii.gz", labels, make_grid(SHAPE, np.diag([3, 3, 3, 1])))
    names = ";".join(f"{organ}={number}" for number, organ in enumerate(ORGANS, 1))
    grid = make_grid(SHAPE, np.diag([3, 3, 3, 1]))
    rng = np.random.default_rng(1)
    for number in range(subjects):
        for modality, unit, low in (("CT", "HU", -1000), ("PT", "SUVbw", 0)):
            subject = f"s{number:04d}"
            noise = rng.integers(0, 9, SHAPE)
            image = np.where(labels, 3, low) + noise if low else (labels > 0) * 2 + noise / 10
            write_volume(
                folder / f"{subject}_{modality}.nii.gz",
                np.asfortranarray(image, dtype=np.float32),
                grid,
            )
            reference = f"{subject}_{modality}_reference.nii.gz"
            shutil.copyfile(folder / f"{modality}.nii.gz", folder / reference)
            cells = [subject, "a", modality, f"{subject}_{modality}.nii.gz", reference, unit, names]
            rows.append("\t".join(cells))
    (folder / "tiny.tsv").write_text("\n".join(rows) + "\n")
    facts = 'name = "tiny"\ntitle = "Boxes"\nlicense = "CC0-1.0"\ncitation = "none"\n'
    (folder / "tiny.toml").write_text(f'{facts}reference_origin = "generated"\nsynthetic = true\n')


def timed(words: list[str], environment: dict[str, str]) -> Measured:
    """Run a command; its time, and what it and its children used."""
    begun = time.perf_counter()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - begun
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10)


def describe(rows: list[dict[str, float]], arguments: argparse.Namespace) -> list[str]:
    """The table, and how the figures grow."""
    titles = [
        "subjects", "scans", "run, processor s (wall)", "ms a scan", "scans a second, wall",
        "peak MiB", "files", "files a scan", "MB", "resume, processor s (wall)", "peak MiB",
        "show s", "compare s", "report s", "peak MiB",
    ]  # fmt: skip
    lines = []
    for row in rows:
        lines.append(
            (
                f"{row['subjects']}",
                f"{row['scans']}",
                f"{row['run']:.1f} ({row['run wall']:.1f})",
                f"{1000 * row['run'] / row['scans']:.1f}",
                f"{row['scans'] / row['run wall']:.1f}",
                f"{row['run peak']:.0f}",
                f"{row['files']}",
                f"{row['files'] / row['scans']:.2f}",
                f"{row['MB']:.1f}",
                f"{row['resume']:.1f} ({row['resume wall']:.1f})",
                f"{row['resume peak']:.0f}",
                f"{row['show']:.1f}",
                f"{row['compare']:.1f}",
                f"{row['report']:.1f}" if "report" in row else "",
                f"{row['report peak']:.0f}" if "report" in row else "",
            )
        )
    title = (
        f"SYNTHETIC images of {' × '.join(map(str, SHAPE))} voxels, two modalities, "
        f"{len(ORGANS)} organs, {arguments.models} model(s), protocol box, engine local"
    )
    return [f"{title}.", "", table(titles, lines), "", "```", *plot(rows), "```"]


def plot(rows: list[dict[str, float]]) -> list[str]:
    """Bars: what each scan costs; bars of equal length mean linear growth."""
    lines = []
    for name, factor, unit in (
        ("run", 1000, "ms"),
        ("resume", 1000, "ms"),
        ("files", 1, "files"),
        ("MB", 1000, "kB"),
    ):
        each = [factor * row[name] / row["scans"] for row in rows]
        for row, value in zip(rows, each, strict=True):
            bar = "#" * round(WIDTH * value / max(each))
            lines.append(f"{name:>6}, {row['scans']:>6} scans {bar} {value:.2f} {unit} a scan")
    return lines


if __name__ == "__main__":
    main()
