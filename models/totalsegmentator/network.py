"""TotalSegmentator's parts: classes from its package, networks from nnU-Net's results folders."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, Mapping, Sequence, Tuple

import numpy as np
from results import Results, device, find_results
from totalsegmentator import map_tasks_config, map_to_binary

from zoo_sdk import Volume
from zoo_sdk.weights import WrongWeights, weights_folder

#: DICOM modality -> upstream's task, its names of the parts by number, and the parts' classes
TASKS = MappingProxyType(
    {
        "CT": ("total", map_to_binary.map_taskid_to_partname_ct, map_to_binary.class_map_5_parts),
        "MR": (
            "total_mr",
            map_to_binary.map_taskid_to_partname_mr,
            map_to_binary.class_map_parts_mr,
        ),
    }
)
STEP = 0.8
#: the spacing in the header of upstream's resampled file, whatever the true one is
MILLIMETRES = (1.5, 1.5, 1.5)


class Task:
    """One modality's networks; see ``pipeline.Task``."""

    def __init__(self, modality: str, where: object) -> None:
        name, datasets_by_number, classes = TASKS[modality]
        organs = map_to_binary.class_map[name]
        value = {organ: number for number, organ in organs.items()}
        self.labels: Mapping[str, Tuple[int, ...]] = {
            organ: (number,) for organ, number in value.items()
        }
        self.parts: Dict[str, Dict[int, int]] = {}
        self._results: Dict[str, Results] = {}
        for number in datasets(modality):
            part, organs_by_label = str(number), classes[datasets_by_number[number]]
            self.parts[part] = {label: value[organ] for label, organ in organs_by_label.items()}
            self._results[part] = Results(find_part(weights_folder() / part, number), where)
            trained = set(chain.from_iterable(self._results[part].labels.values()))
            if trained != set(organs_by_label):
                raise WrongWeights(
                    "dataset %s has %d labels, not the %d of its part"
                    % (part, len(trained), len(organs_by_label))
                )

    def label_map(self, part: str, image: Volume) -> Any:
        """As upstream: one fold, steps of four fifths of a patch, no mirroring, 1.5 mm assumed."""
        network_volume = Volume(image.array, np.diag([*MILLIMETRES, 1.0]))
        return self._results[part].label_map(network_volume, mirroring=False, folds=1, step=STEP)


def find_part(folder: Path, number: int) -> Path:
    """The results folder of a part, found by its dataset's number, as two parts have 26 classes.

    Raises WrongWeights if it is another dataset's.
    """
    results = find_results(folder)
    if not results.parent.name.startswith("Dataset%03d_" % number):
        raise WrongWeights(
            "%s must hold the folder Dataset%03d_... as the release's archive does; it holds %s"
            % (folder, number, results.relative_to(folder))
        )
    return results


class TotalSegmentator:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = device()
        self._tasks = {modality: Task(modality, self.device) for modality in TASKS}

    def task(self, modality: str) -> Task | None:
        """The task of a modality."""
        return self._tasks.get(modality)


def datasets(modality: str) -> Sequence[int]:
    """Numbers of the parts' datasets, in upstream's order."""
    numbers: Sequence[int] = map_tasks_config.TASK_CONFIGS[TASKS[modality][0]]["sub_modes"][
        "default"
    ]["task_id"]
    return numbers
