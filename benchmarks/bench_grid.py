"""Validation by simulation of the verdict without the grid's part.

A subject is a lumpy tumour of 2 to 6 cm, the same in the world on two grids: CT (1.5 x 1.5 x 3.3
mm) and PET, whose voxels are 2, 3 or 4 times as large across (and start at a random place). The box
is drawn on CT and rounded outwards on PET, as by the protocol ``box``. Models answer by masks that
are scored on each grid; floors and ceilings are those of ``evaluator.limits``. Cohorts draw
subjects from a pool with replacement, with noise for each image.

    make bench-grid                                the full simulation; writes docs/confounds.md
    benchmarks/bench_grid.py --cohorts 40 --pool 12    a short run; prints only
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.tables import ROOT, machine, write
from evaluator.analysis.comparison.blind_answers import allowed_by_all, beats_floor
from evaluator.analysis.comparison.conclusions import conclude
from evaluator.imaging.geometry import affine_of, make_grid, to_world
from evaluator.imaging.grid_masks import crop_mask
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.imaging.solids import box_mask, ellipsoid_in_box
from evaluator.manifests.protocols import load_protocol
from evaluator.prompting.boxes import choose_box, put_box
from evaluator.prompting.error_regions import dice
from evaluator.prompting.random_stream import RandomStream
from evaluator.statistics import compare_pairs, equivalence_p, verdict, without_covariate
from zoo_sdk.wire import Box

#: PET voxels are this many times as large across as CT's
FACTORS = (2.0, 3.0, 4.0)
CT_MM, SLICE_MM = 1.5, 3.27
#: standard deviation of a score's noise, for each image
NOISE = 0.03
LOSS = MARGIN = 0.05
#: models that look at no image
BLIND = (
    "ellipsoid in the box",
    "ellipsoid, 10 % smaller",
    "ellipsoid, 10 % larger",
    "box with round corners",
    "box",
)


@dataclass(frozen=True)
class Pool:
    """Scores, floors and ceilings of each subject on CT and PET: (subjects, 2) each."""

    models: dict[str, np.ndarray]
    floor: np.ndarray
    ceiling: np.ndarray
    #: the image-blind answers that verdicts are controlled for
    blind: dict[str, np.ndarray]


def make_pool(subjects: int, factor: float, seed: int = 0) -> Pool:
    """Simulate subjects and score the models on them."""
    rng = np.random.default_rng([seed, int(10 * factor)])
    rows = [simulate_subject(factor, rng) for _ in range(subjects)]
    return Pool(
        models={name: np.array([row[0][name] for row in rows]) for name in rows[0][0]},
        floor=np.array([row[1] for row in rows]),
        ceiling=np.array([row[2] for row in rows]),
        blind={name: np.array([row[3][name] for row in rows]) for name in rows[0][3]},
    )


def simulate_subject(factor: float, rng: np.random.Generator):
    """Dice of each model, floor, ceiling and image-blind answers, on CT and PET."""
    half = rng.uniform(10, 30, 3)
    grids = [_grid(CT_MM, half, rng), _grid(CT_MM * factor, half, rng)]
    # waves of the surface, and of the errors that models make on it
    waves = [(rng.normal(size=(count, 3)) / half, rng.uniform(0, 6, count)) for count in (6, 8)]
    shapes = [_shape(grid, half, waves) for grid in grids]
    references = [crop_mask(lump <= 0, grid) for grid, (lump, _) in zip(grids, shapes, strict=True)]
    world = choose_box(references[0], load_protocol("box").prompts, RandomStream("simulation", 0))
    there = resample_mask(references[0], grids[1])
    back = resample_mask(there, grids[0])
    ceiling = [1.0, max(dice(references[1], there), dice(references[0], back))]
    scores: dict[str, list[float]] = {}
    floor = []
    for grid, reference, (lump, errors) in zip(grids, references, shapes, strict=True):
        box = put_box(world, grid)
        assert box is not None
        ellipsoid, full = ellipsoid_in_box(box, grid), box_mask(box, grid)
        skilled = crop_mask(lump + 0.25 * errors <= 0, grid)
        answers = {
            BLIND[0]: ellipsoid,
            BLIND[1]: _solid(box, grid, 0.9, 2),
            BLIND[2]: _solid(box, grid, 1.1, 2),
            BLIND[3]: _solid(box, grid, 1.0, 4),
            BLIND[4]: full,
            "image only, middling": crop_mask(lump + 0.5 * errors <= 0, grid),
            "image only, good": skilled,
            "image only, perfect": there if grid is grids[1] else reference,
            "image and box": crop_mask(
                skilled.to_array().astype(int) + ellipsoid.to_array() + reference.to_array() >= 2,
                grid,
            ),
        }
        for name, mask in answers.items():
            scores.setdefault(name, []).append(dice(reference, mask))
        floor.append(max(dice(reference, ellipsoid), dice(reference, full)))
    blind = {"ellipsoid": scores[BLIND[0]], "box": scores[BLIND[4]]}
    return scores, floor, ceiling, blind


def _grid(across: float, half, rng):
    """A grid about the tumour that starts at a random place within a voxel."""
    steps = np.array((across, across, SLICE_MM))
    shape = np.ceil(2 * half * 2.0 / steps).astype(int) + 3
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (shape - 1) / 2 + rng.uniform(-0.5, 0.5, 3) * steps
    return make_grid(shape.tolist(), affine)


def _shape(grid, half, waves):
    """Distance of each voxel from the surface relative to the size, and the errors' waves."""
    places = to_world(affine_of(grid), np.indices(grid.shape).reshape(3, -1).T)
    (surface, phases), (rough, shifts) = waves
    lumps = np.cos(places @ surface.T * 1.5 + phases).mean(axis=1)
    errors = np.cos(places @ rough.T * 2.5 + shifts).mean(axis=1)
    lump = np.linalg.norm(places / half, axis=1) - (1 + 0.9 * lumps)
    return lump.reshape(grid.shape), errors.reshape(grid.shape)


def _solid(box: Box, grid, scale: float, power: int):
    """A scaled ellipsoid in the box, or with a higher power a box with round corners."""
    low, high = np.array(box.low), np.array(box.high)
    middle, half = (low + high - 1) / 2, scale * (high - low) / 2
    index = np.indices(grid.shape).reshape(3, -1).T
    inside = (((index - middle) / half) ** power).sum(axis=1) <= 1
    return crop_mask(inside.reshape(grid.shape), grid)


def conclusions(pool: Pool, model: str, n: int, cohorts: int, *, loss: float = 0.0, seed: int = 0):
    """Of each simulated cohort the raw verdict with its direction, and the conclusion.

    ``loss`` is taken from PET's scores.
    """
    rng = np.random.default_rng([seed, n])
    drawn = rng.integers(len(pool.floor), size=(n, cohorts))
    scores = pool.models[model][drawn] + rng.normal(0, NOISE, (n, cohorts, 2)) - [0, loss]
    scores = np.clip(scores, 0, 1)
    floor, ceiling = pool.floor[drawn], pool.ceiling[drawn]
    raw = _estimates(scores[..., 0], scores[..., 1])
    answers = [floor, *(values[drawn] for values in pool.blind.values())]
    pseudo = [
        without_covariate(counted(scores, ceiling), counted(answer, ceiling))[0]
        for answer in answers
    ]
    above = beats_floor(
        [scores[..., image].T for image in (0, 1)],
        [floor[..., image].T for image in (0, 1)],
        higher_is_better=True,
    )
    controlled, _ = allowed_by_all(
        [_estimates(values, np.zeros_like(values)) for values in pseudo], above
    )
    nothing = np.any([~values.any(axis=0) for values in pseudo], axis=0)
    raw_words, controlled_words = (_words(estimates) for estimates in (raw, controlled))
    results = []
    for cohort in range(cohorts):
        row = {
            "difference": raw["difference"][cohort],
            "verdict": raw_words[cohort],
            "controlled_difference": controlled["difference"][cohort],
            "controlled_verdict": controlled_words[cohort],
            "floor_structural": floor[:, cohort, 0].mean(),
            "floor_functional": floor[:, cohort, 1].mean(),
            "no_difference": nothing[cohort],
        }
        raw_worse = row["verdict"].startswith("different") and row["difference"] > 0
        shown = row["controlled_verdict"].startswith("different")
        found = shown and row["controlled_difference"] > 0
        results.append((raw_worse, found, conclude(row, "dice")[0]))
    return results


def counted(values, ceiling):
    """Structural minus PET, each counted up to the ceiling of the other image."""
    first = np.minimum(values[..., 0], ceiling[..., 1])
    return first - np.minimum(values[..., 1], ceiling[..., 0])


def _estimates(first, second):
    """The estimates of cohorts as ``paired_estimates`` names them."""
    result = compare_pairs(first, second, resamples=99)
    names = ("difference", "low", "high", "p_sign_flip")
    estimates = {name: getattr(result, name) for name in names}
    estimates["n"] = np.full(first.shape[1], len(first))
    estimates["p_equivalence"] = equivalence_p(first - second, np.full(first.shape[1], MARGIN))
    return estimates


def _words(estimates) -> list[str]:
    """The verdicts of cohorts that are one test each."""
    tests = zip(estimates["p_sign_flip"], estimates["p_equivalence"], strict=True)
    return [verdict(*p) for p in tests]


def simulate(cohorts: int, pool_size: int) -> str:
    """Every result as Markdown."""
    titles = ("PET voxels", "model", "Dice CT, PET", "floors", "n", "loss", "raw: worse")
    titles += ("without the grid: worse", "concluded: worse", "concluded: better")
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for factor in FACTORS:
        pool = make_pool(pool_size, factor)
        for model in pool.models:
            for n, loss in ((10, 0.0), (30, 0.0), (100, 0.0), (100, LOSS)):
                lines.append(_line(pool, factor, model, n, loss, cohorts))
    return "\n".join(lines)


def _line(pool: Pool, factor: float, model: str, n: int, loss: float, cohorts: int) -> str:
    results = conclusions(pool, model, n, cohorts, loss=loss)
    raw, found = (np.mean([result[k] for result in results]) for k in (0, 1))
    worse = np.mean([result[2] == "worse on PET" for result in results])
    better = np.mean([result[2].endswith("better on PET") for result in results])
    means, floors = (values.mean(axis=0) for values in (pool.models[model], pool.floor))
    shares = " | ".join(f"{100 * share:.1f} %" for share in (raw, found, worse, better))
    levels = " | ".join(f"{a:.3f}, {b:.3f}" for a, b in (means, floors))
    line = f"| {factor:g} x | {model} | {levels} | {n} | {loss:g} | {shares} |"
    print(line, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=60)
    arguments = parser.parse_args()
    started = time.perf_counter()
    text = simulate(arguments.cohorts, arguments.pool)
    print(f"{arguments.cohorts} cohorts each, {time.perf_counter() - started:.0f} s")
    if arguments.cohorts < 1000:
        return
    note = (
        f"{machine()}. {arguments.cohorts} simulated cohorts a line, drawn from {arguments.pool} "
        "simulated subjects; `make bench-grid`."
    )
    write("bench-grid", f"{note}\n\n{text}", ROOT / "docs/confounds.md")


if __name__ == "__main__":
    main()
