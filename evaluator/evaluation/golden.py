"""The golden case: a model must find organs that are known, and must fail where it has to.

A model runs on an example whose references are known. Every organ must reach a floor. Then the
example is changed so that the answer must become worse; if it does not, the adapter ignores what
was changed:

- a header that is flipped left to right: the kidneys must swap (models without clicks);
- 1024 HU too much: models with a fixed window must lose organs;
- clicks 20 mm outside of the organ: models with clicks must lose it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evaluator import paths
from evaluator.datasets import load_dataset
from evaluator.errors import UserError
from evaluator.evaluation.run import run_model
from evaluator.evaluation.run_config import RunConfig
from evaluator.imaging.geometry import make_grid
from evaluator.manifests.case_lists import UNITS
from evaluator.runs.results import load
from evaluator.types import ScoreStatus
from evaluator.volumes import read_image, read_labels, write_volume
from evaluator.zoo.conformance.results import Result
from evaluator.zoo.preflight.expectations import Golden, read_expectations

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.runs.store import RunStore
    from evaluator.types import Modality, ModelCard, Scan

DATASET = "totalsegmentator-sample"
ORGANS = ("liver", "spleen", "kidney-left", "kidney-right", "aorta")
#: Dice that models must reach: with a text, class or no prompt; with one click
FLOOR, CLICK_FLOOR = 0.90, 0.70
#: by how much mean Dice must fall in a control
FALL = 0.2
OFFSET_HU = 1024.0
#: seeds of the protocol robust-outside: the click inside, and those 20 mm outside
INSIDE, OUTSIDE = (0,), (5, 6)

#: (modality, target, seed) -> Dice
Dice = dict[tuple[str, str, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenOutcome:
    """The checks of a golden case, and the run on the unchanged example."""

    checks: tuple[Result, ...]
    run: RunStore


def run_golden(card: ModelCard, config: RunConfig) -> GoldenOutcome:
    """Run a model's golden case and its controls.

    Args:
        card: the model's card.
        config: model, engine, GPUs, weights, options and data root; dataset and protocol are set
            here.

    Raises:
        UserError: the example is not on this machine, or has none of the model's organs.
    """
    golden = read_expectations(card.name).golden or Golden()
    floors = golden.floors or dict.fromkeys(ORGANS, CLICK_FLOOR if _is_clicked(card) else FLOOR)
    organs = {
        name: floor
        for name, floor in floors.items()
        if card.targets is None or name in card.targets
    }
    example = _Example(
        source=golden.dataset or DATASET,
        modalities=tuple(entry[0] for entry in card.inputs),
        organs=tuple(organs),
        data_root=config.data_root,
    )
    protocol = "point-1" if _is_clicked(card) else "text"
    config = replace(config, recheck=0, force=True, data_root=None)
    run = _run(config, example.write("unchanged"), protocol)
    dice = _dice(run)
    checks = [_floor(key, organs[key[1]], value) for key, value in sorted(dice.items())]
    checks += _controls(card, golden, config, example, dice)
    if not checks:
        raise UserError(f"{example.source} has none of the organs of {card.name}")
    return GoldenOutcome(checks=tuple(checks), run=run)


def _is_clicked(card: ModelCard) -> bool:
    return "point" in card.prompts and "text" not in card.prompts


def _controls(
    card: ModelCard, golden: Golden, config: RunConfig, example: _Example, dice: Dice
) -> list[Result]:
    if _is_clicked(card):
        run = _run(config, example.write("unchanged"), "robust-outside")
        all_seeds = _dice(run)
        inside = {key: value for key, value in all_seeds.items() if key[2] in INSIDE}
        outside = {key: value for key, value in all_seeds.items() if key[2] in OUTSIDE}
        return [_fall("clicks 20 mm outside of the organ", inside, outside)]
    controls = []
    kidneys = {key: value for key, value in dice.items() if key[1].startswith("kidney-")}
    if len({target for _, target, _ in kidneys}) == 2:
        flipped = _dice(_run(config, example.write("flipped"), "text"))
        swapped = {key: value for key, value in flipped.items() if key in kidneys}
        controls.append(_fall("header flipped left to right: kidneys", kidneys, swapped))
    ct = {key: value for key, value in dice.items() if key[0] == "CT"}
    if golden.fixed_window and ct:
        shifted = _dice(_run(config, example.write("shifted"), "text"))
        lost = {key: value for key, value in shifted.items() if key[0] == "CT"}
        controls.append(_fall("1024 HU too much", ct, lost))
    return controls


def _run(config: RunConfig, manifest: Path, protocol: str) -> RunStore:
    of_run = replace(config, dataset=str(manifest), protocol=protocol)
    return run_model(of_run, progress=lambda *_: None)


def _dice(run: RunStore) -> Dice:
    """Dice of each prediction; a failed one counts as 0."""
    scores = load(run).scores
    rows = scores[scores["metric"] == "dice"]
    values = {}
    for row in rows.to_dict("records"):
        key = (str(row["modality"]), str(row["target"]), int(row["seed"]))
        values[key] = float(row["value"]) if row["status"] == ScoreStatus.OK else 0.0
    return values


def _floor(key: tuple[str, str, int], floor: float, value: float) -> Result:
    modality, target, _ = key
    return Result(
        check=f"{target} on {modality}",
        ok=value >= floor,
        detail=f"Dice {value:.3f}, at least {floor:.2f} expected",
    )


def _fall(check: str, before: Dice, after: Dice) -> Result:
    """A control: mean Dice must fall."""
    first, second = float(np.mean(list(before.values()))), float(np.mean(list(after.values())))
    fell = first - second
    return Result(
        check=f"control: {check}",
        ok=fell >= FALL,
        detail=f"mean Dice {first:.3f} becomes {second:.3f}; a fall of {FALL} or more expected",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """An example and its changed copies."""

    source: str
    modalities: tuple[Modality, ...]
    organs: tuple[str, ...]
    data_root: Path | None

    def write(self, variant: str) -> Path:
        """Write a copy with the organs alone; returns its manifest.

        ``flipped``: the world is mirrored, voxels stay. ``shifted``: CT has 1024 HU too much.
        """
        folder = paths.cache() / "golden" / f"{self.source.rsplit('/', 1)[-1]}-{variant}"
        folder.mkdir(parents=True, exist_ok=True)
        header = "subject\tsession\tmodality\timage\treference\tunit\tlabels"
        rows = [header]
        for case in load_dataset(self.source, self.data_root).cases:
            for modality, scan in case.scans.items():
                targets = [name for name in self.organs if name in scan.targets]
                if modality in self.modalities and targets:
                    names = _copy(scan, targets, folder, f"{case.id}.{modality}", variant)
                    row = [case.subject, case.session, modality, *names, UNITS[modality]]
                    labels = ";".join(f"{name}={n}" for n, name in enumerate(targets, 1))
                    rows.append("\t".join([*row, labels]))
        (folder / "golden.tsv").write_text("\n".join([*rows, ""]), encoding="utf-8")
        facts = {
            "name": "golden",
            "title": f"Golden case, {variant}: {self.source.rsplit('/', 1)[-1]}",
            "license": "as its source",
            "citation": self.source,
            "reference_origin": f"as in {self.source}",
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in facts.items()]
        text = "\n".join([*lines, "synthetic = false", ""])
        (folder / "golden.toml").write_text(text, encoding="utf-8")
        return folder / "golden.toml"


def _copy(scan: Scan, targets: list[str], folder: Path, name: str, variant: str) -> tuple[str, str]:
    """Write image and reference of one scan; returns their file names."""
    values, grid = read_image(scan.image)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for reference in scan.references:
        stored, _ = read_labels(reference.path)
        for number, target in enumerate(targets, 1):
            if target in reference.labels:
                labels[np.isin(stored, reference.labels[target])] = number
    if variant == "shifted" and scan.modality == "CT":
        values = values + np.float32(OFFSET_HU)
    if variant == "flipped":
        mirrored = np.diag([-1.0, 1.0, 1.0, 1.0]) @ np.asarray(grid.affine)
        grid = make_grid(grid.shape, mirrored)
    integers = bool((values == np.trunc(values)).all() and np.abs(values).max() < 32000)
    image, mask = f"{name}.image.nii.gz", f"{name}.reference.nii.gz"
    write_volume(folder / image, values.astype(np.int16) if integers else values, grid)
    write_volume(folder / mask, labels, grid)
    return image, mask
