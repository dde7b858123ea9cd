"""What the files of model 100 say of axes, spacing and labels. Needs no package."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from labels import NAMES, ONLY_ON_CT

from zoo_sdk.weights import WrongWeights

AXES = {"R": "RL", "L": "RL", "A": "AP", "P": "AP", "S": "SI", "I": "SI"}


def read(path: Path) -> Dict[str, Any]:
    """The table in a JSON file; empty if there is no file. Raises WrongWeights for another file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WrongWeights("%s is not JSON: %s" % (path.name, error)) from error
    if not isinstance(content, dict):
        raise WrongWeights("%s holds no table" % path.name)
    return content


def orientation_of(dataset: Dict[str, Any], settings: Dict[str, Any]) -> str:
    """The axes' directions, such as "RAS"; empty if neither file names them (the file's axes).

    Raises:
        WrongWeights: they are no three directions.
    """
    named = settings.get("model_expected_orientation", dataset.get("orientation", ""))
    codes = "".join(named)
    if codes and sorted(AXES.get(code, "") for code in codes) != ["AP", "RL", "SI"]:
        raise WrongWeights("dataset.json has the orientation %r, which names no axes" % (named,))
    return codes


def spacing_of(
    dataset: Dict[str, Any],
    settings: Dict[str, Any],
    plans: Dict[str, Any],
    planned: Sequence[float],
) -> Tuple[float, ...]:
    """Voxel sizes along the reversed axes, mm: of the settings, the data set, or the plans.

    The settings have them along the axes, ``dataset.json`` along the reversed axes, the plans in
    the order that ``transpose_forward`` gives these.
    """
    if "resolution_range" in settings:
        return tuple(float(size) for size in reversed(settings["resolution_range"]))
    if "spacing" in dataset:
        return tuple(float(size) for size in dataset["spacing"])
    return tuple(float(planned[axis]) for axis in plans["transpose_backward"])


def check_labels(trained: Dict[str, Tuple[int, ...]]) -> None:
    """Compare the labels of the results folder with those of upstream's README.

    A name that is spelled in another way is accepted. A name with another number is not.

    Raises:
        WrongWeights: a label is missing or unknown, or a name has another number.
    """
    values = set(chain.from_iterable(trained.values()))
    expected = set(range(1, len(NAMES) + 1))
    if values | {ONLY_ON_CT} != expected:
        raise WrongWeights(
            "the results folder has %d labels; VIBESegmentator's model 100 has %d"
            % (len(values), len(NAMES))
        )
    for number, name in enumerate(NAMES, 1):
        if trained.get(name, (number,)) != (number,):
            raise WrongWeights(
                "the results folder calls label %s %s; in VIBESegmentator's it is label %d"
                % (trained[name][0], name, number)
            )
