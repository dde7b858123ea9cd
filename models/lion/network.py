"""LION's two networks: results folders of nnU-Net v2, opened strictly when they are asked for."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from pipeline import LABELS
from results import Results, device, find_results

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import WrongWeights, weights_folder


class Tracer:
    """The network of one tracer; see ``pipeline.Model``."""

    def __init__(self, name: str, where: Any) -> None:
        self._results = Results(find_results(weights_folder() / name), where)
        self.about = self._results.about
        label = LABELS[name]
        if not any(label in values for values in self._results.labels.values()):
            raise WrongWeights("%s has no label %d, LION's lesions" % (name, label))

    @property
    def spacing(self) -> Tuple[float, ...]:
        """The plan's."""
        return self._results.spacing

    def label_map(self, image: Volume) -> Any:
        """All folds, mirrored as the training says, steps of half a patch."""
        return self._results.label_map(image)


class Lion:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = device()
        self._models = Recent(len(LABELS))
        self.about: Dict[str, Any] = {}

    def model(self, tracer: str) -> Tracer:
        """The network of a tracer."""
        model: Tracer = self._models.get(tracer, lambda: Tracer(tracer, self.device))
        self.about = model.about
        return model
