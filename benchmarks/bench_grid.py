"""Validation by simulation of the verdict without the grid's part.

A subject is a lumpy tumour of 3 to 8 cm, the same in the world on two grids: CT (1 x 1 x 3.3 mm) and
PET, whose voxels are 2, 3 or 4 times as large across (and start at a random place). The box is drawn
on CT and rounded outwards on PET, as by the protocol ``box``. Models answer by masks that are
scored on each grid; floors and ceilings are those of ``evaluator.limits``. Cohorts draw subjects from
a pool with replacement, with noise for each image.

    make bench-grid                                the full simulation; writes docs/confounds.md
    benchmarks/bench_grid.py --cohorts 40 --pool 40    a short run; prints only
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.tables import ROOT, machine, write
from evaluator.analysis.comparison.compare_groups import MARGINS
from evaluator.analysis.comparison.differences import compare_modalities
from evaluator.analysis.comparison.paired_tests import ComparisonOptions
from evaluator.analysis.comparison.score_array import make_score_array
from evaluator.imaging.geometry import affine_of, make_grid, to_world
from evaluator.imaging.grid_masks import GridMask, crop_mask
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.imaging.solids import box_mask, ellipsoid_in_box
from evaluator.manifests.protocols import load_protocol
from evaluator.prompting.boxes import choose_box, put_box
from evaluator.prompting.error_regions import dice
from evaluator.prompting.random_stream import RandomStream

#: PET voxels are this many times as large across as CT's, 1 mm
FACTORS = (2.0, 3.0, 4.0)
#: standard deviation of a score's noise, for each image
NOISE = 0.03
LOSS = 0.05


@dataclass(frozen=True)
class Pool:
    """Scores, floors and ceilings of each subject on CT and PET: (subjects, 2) each."""

    models: dict[str, np.ndarray]
    floor: np.ndarray
    ceiling: np.ndarray


def make_pool(subjects: int, factor: float, seed: int = 0) -> Pool:
    """Simulate subjects and score the models on them."""
    rng = np.random.default_rng([seed, int(10 * factor)])
    rows = [simulate_subject(factor, rng) for _ in range(subjects)]
    names = rows[0][0]
    return Pool(
        models={name: np.array([row[0][name] for row in rows]) for name in names},
        floor=np.array([row[1] for row in rows]),
        ceiling=np.array([row[2] for row in rows]),
    )


def simulate_subject(
    factor: float, rng: np.random.Generator
) -> tuple[dict[str, list[float]], list[float], list[float]]:
    """Dice of each model, floor and ceiling, on CT and PET."""
    half = rng.uniform((12, 12, 12), (30, 30, 30))
    waves = rng.normal(size=(6, 3)) / half * 1.2, rng.uniform(0, 6, 6)
    errors = rng.normal(size=(8, 3)) / half * 2.5, rng.uniform(0, 6, 8)
    grids = [_grid((1.0, 1.0, 3.27), half, rng), _grid((factor, factor, 3.27), half, rng)]
    references = [_lump(grid, half, waves) for grid in grids]
    world = choose_box(references[0], load_protocol("box").prompts, RandomStream("simulation", 0))
    scores: dict[str, list[float]] = {}
    floor, ceiling = [], []
    for grid, reference in zip(grids, references, strict=True):
        box = put_box(world, grid)
        assert box is not None
        blind = {"ellipsoid": ellipsoid_in_box(box, grid), "box": box_mask(box, grid)}
        answers = {
            "ellipsoid in the box": blind["ellipsoid"],
            "box": blind["box"],
            "ellipsoid, 10 % smaller": _shrunken(blind["ellipsoid"], box, grid),
        }
        for skill in (0.5, 0.8, 1.0):
            name = f"skill {skill:g}, looks at the image only"
            answers[name] = _lump(grid, half, waves, errors=errors, size=1 - skill)
        blend = answers["skill 0.8, looks at the image only"]
        for name, mask in answers.items():
            scores.setdefault(name, []).append(dice(reference, mask))
        mixed = _majority(grid, [blend, blind["ellipsoid"], reference])
        scores.setdefault("half box, half image", []).append(dice(reference, mixed))
        floor.append(max(dice(reference, mask) for mask in blind.values()))
        there = resample_mask(references[0], grid)
        back = resample_mask(there, grids[0])
        ceiling.append(max(dice(reference, there), dice(references[0], back)))
    return scores, floor, ceiling


def _grid(steps, half, rng):
    """A grid about the tumour that starts at a random place within a voxel."""
    steps = np.array(steps)
    shape = np.ceil(2 * half * 1.8 / steps).astype(int) + 2
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (shape - 1) / 2 + rng.uniform(-0.5, 0.5, 3) * steps
    return make_grid(shape.tolist(), affine)


def _lump(grid, half, waves, errors=None, size=0.0) -> GridMask:
    """A lumpy ellipsoid; ``errors`` move its surface, in proportion to ``size``."""
    places = to_world(affine_of(grid), np.indices(grid.shape).reshape(3, -1).T)
    radius = np.linalg.norm(places / half, axis=1)
    surface = 1 + 0.9 * np.cos(places @ waves[0].T + waves[1]).mean(axis=1)
    if errors is not None:
        surface = surface + size * 0.8 * np.cos(places @ errors[0].T + errors[1]).mean(axis=1)
    return crop_mask((radius <= surface).reshape(grid.shape), grid)


def _shrunken(mask: GridMask, box, grid) -> GridMask:
    low, high = np.array(box.low), np.array(box.high)
    middle, half = (low + high - 1) / 2, 0.9 * (high - low) / 2
    index = np.indices(grid.shape).reshape(3, -1).T
    inside = (((index - middle) / half) ** 2).sum(axis=1) <= 1
    return crop_mask(inside.reshape(grid.shape), grid)


def _majority(grid, masks) -> GridMask:
    votes = sum(mask.to_array().astype(int) for mask in masks)
    return crop_mask(votes >= 2, grid)


def verdicts(pool: Pool, model: str, n: int, cohorts: int, *, loss: float = 0.0, seed: int = 0):
    """Raw and controlled conclusions of simulated cohorts; ``loss`` is taken from PET's scores."""
    rng = np.random.default_rng([seed, n])
    protocol = load_protocol("box")
    options = ComparisonOptions(margins=MARGINS, confidence=0.95, resamples=99, seed=0)
    frames = []
    subjects = rng.integers(len(pool.floor), size=(cohorts, n))
    noise = rng.normal(0, NOISE, (cohorts, n, 2))
    for cohort in range(cohorts):
        drawn = subjects[cohort]
        scores = pool.models[model][drawn] + (noise[cohort] if loss or n else 0)
        scores = np.clip(scores - [0, loss], 0, 1)
        frame = _score_frame(scores, pool.floor[drawn], pool.ceiling[drawn])
        array = make_score_array(frame, "dice", protocol, ["m"])
        table = compare_modalities(array, options)
        row = table[(table["failures"] == "included") & (table["target"] == "lesion")].iloc[0]
        frames.append(
            {
                "raw": row["verdict"] in ("different",) and row["difference"] > 0,
                "worse": row["conclusion"] == "worse on PET",
                "better": row["conclusion"] == "better on PET",
                "slightly": str(row["conclusion"]).startswith("slightly"),
            }
        )
    return pd.DataFrame(frames)


def _score_frame(scores, floor, ceiling) -> pd.DataFrame:
    n = len(scores)
    columns = {
        "run": "r", "model": "m", "metric": "dice", "target": "lesion", "seed": 0, "round": 0,
        "subject": np.repeat([f"s{k:04d}" for k in range(n)], 2),
        "case": np.repeat([f"s{k:04d}.a" for k in range(n)], 2),
        "modality": ["CT", "PT"] * n, "status": "ok", "value": scores.ravel(),
        "floor": floor.ravel(), "ceiling": ceiling.ravel(),
    }  # fmt: skip
    frame = pd.DataFrame(columns)
    texts = ("run", "model", "metric", "target", "subject", "case", "modality", "status")
    return frame.astype(dict.fromkeys(texts, "category"))


def simulate(cohorts: int, pool_size: int, n: int = 30) -> str:
    """Every result as Markdown."""
    head = "| PET voxels | model | n | planted loss | raw: worse | worse | better | slightly |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for factor in FACTORS:
        pool = make_pool(pool_size, factor)
        for model, scores in pool.models.items():
            print(factor, model, scores.mean(axis=0).round(3), pool.floor.mean(axis=0).round(3),
                  pool.ceiling.mean(axis=0).round(3), flush=True)  # fmt: skip
            lines.append(_line(factor, model, n, 0.0, verdicts(pool, model, n, cohorts)))
        for model in pool.models:
            if "skill" in model or "image" in model:
                found = verdicts(pool, model, 100, cohorts, loss=LOSS)
                lines.append(_line(factor, model, 100, LOSS, found))
    return "\n".join(lines)


def _line(factor, model, n, loss, found) -> str:
    shares = " | ".join(f"{100 * found[name].mean():.1f} %" for name in found)
    line = f"| {factor:g} x | {model} | {n} | {loss:g} | {shares} |"
    print(line, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=200)
    arguments = parser.parse_args()
    started = time.perf_counter()
    text = simulate(arguments.cohorts, arguments.pool)
    print(f"{arguments.cohorts} cohorts each, {time.perf_counter() - started:.0f} s")
    if arguments.cohorts < 1000:
        return
    note = f"{machine()}. {arguments.cohorts} simulated cohorts a line; `make bench-grid`."
    write("bench-grid", f"{note}\n\n{text}", ROOT / "docs/confounds.md")


if __name__ == "__main__":
    main()
