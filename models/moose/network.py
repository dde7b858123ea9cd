"""MOOSE's networks for CT: results folders of nnU-Net v2, opened strictly when they are needed."""

from __future__ import annotations

from itertools import chain
from typing import Any, Dict, Tuple

from labels import MODELS
from results import Results, device, find_results

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import WrongWeights, weights_folder


class Model:
    """One model; see ``pipeline.Model``."""

    def __init__(self, name: str, where: Any) -> None:
        folder, labels = MODELS[name]
        self._results = Results(find_results(weights_folder() / name), where)
        self.about = self._results.about
        check_labels(self._results.labels, labels, "%s (%s)" % (name, folder))

    @property
    def spacing(self) -> Tuple[float, ...]:
        """The plan's, along (z, y, x)."""
        return self._results.spacing

    def label_map(self, image: Volume) -> Any:
        """All folds, mirrored as the training says, steps of half a patch."""
        return self._results.label_map(image)


class Moose:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = device()
        self._models = Recent(len(MODELS))
        self.about: Dict[str, Any] = {}

    def model(self, name: str) -> Model:
        """A model of the package."""
        model: Model = self._models.get(name, lambda: Model(name, self.device))
        self.about[name] = model.about
        return model


def check_labels(trained: Dict[str, Tuple[int, ...]], names: Tuple[str, ...], about: str) -> None:
    """Compare the labels of a results folder with those of the package's README.

    A name that is spelled in another way is accepted. A name with another number is not.

    Raises:
        WrongWeights: another number of labels, or a name that has another number.
    """
    values = sorted(set(chain.from_iterable(trained.values())))
    if values != list(range(1, len(names) + 1)):
        raise WrongWeights(
            "the results folder for %s has %d labels; this model of MOOSE has %d"
            % (about, len(values), len(names))
        )
    for number, name in enumerate(names, 1):
        if trained.get(name, (number,)) != (number,):
            raise WrongWeights(
                "the results folder for %s calls label %s %s; in MOOSE it is label %d"
                % (about, trained[name][0], name, number)
            )
