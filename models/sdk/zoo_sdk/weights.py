"""A model's weights inside its image: where they lie, whether they are random, strict loading.

Many upstream loaders take the keys that fit and ignore the rest silently, so a wrong checkpoint
gives plausible nonsense. Here a key that is missing, unexpected or of another shape is an error
that names it. torch is imported lazily.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping

#: written beside random weights: which size they have
MARK = "random-weights.json"
NAMED = 4


class WrongWeights(ValueError):
    """Weights that are missing, or not those of this network."""


def weights_folder() -> Path:
    """Where weights are: ``/opt/ml/model``, or ``UMD_WEIGHTS`` outside a container."""
    return Path(os.environ.get("UMD_WEIGHTS") or "/opt/ml/model")


def which_weights() -> str:
    """``random:small``, ``random:full``, or ``published``; an adapter tells it in its notes."""
    mark = weights_folder() / MARK
    return (
        str(json.loads(mark.read_text(encoding="utf-8"))["weights"])
        if mark.exists()
        else "published"
    )


def network_size() -> str:
    """The configuration of the network that the weights fit: ``full``, or ``small`` for tests."""
    return "small" if which_weights() == "random:small" else "full"


def only_file(pattern: str) -> Path:
    """The only file in the weights' folder that matches; raises WrongWeights for none or many."""
    matches = sorted(weights_folder().glob(pattern))
    if len(matches) != 1:
        names = ", ".join(path.name for path in matches) or "none"
        raise WrongWeights(
            "%s must hold one file %s; it holds %s" % (weights_folder(), pattern, names)
        )
    return matches[0]


def read_checkpoint(path: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU; raises WrongWeights for a broken file.

    Plain tensors if they are that; else pickled objects are read too, which is code: the engine's
    isolation contains it.
    """
    import pickle

    import torch

    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            print("%s holds more than tensors; it is read as a pickle" % path.name, file=sys.stderr)
            return torch.load(path, map_location="cpu", weights_only=False)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        raise WrongWeights(
            "%s cannot be read as a checkpoint: %s" % (path.name, str(error)[:300])
        ) from error


def load_strictly(module: Any, state: Mapping[str, Any], name: str) -> None:
    """Load a state dict that must have exactly the module's keys and shapes.

    Raises WrongWeights with some of the keys that differ.
    """
    faults = differences(
        {key: tuple(value.shape) for key, value in module.state_dict().items()}, state
    )
    if faults:
        raise WrongWeights("%s is not a checkpoint of this network: %s" % (name, "; ".join(faults)))
    module.load_state_dict(state, strict=True)


def differences(expected: Mapping[str, Any], state: Mapping[str, Any]) -> List[str]:
    """The keys and shapes in which a checkpoint differs from a network (key -> shape)."""
    shapes: Dict[str, Any] = {
        key: tuple(getattr(value, "shape", ())) for key, value in state.items()
    }
    reshaped = [
        "%s is %s, not %s" % (k, shapes[k], expected[k])
        for k in expected
        if k in shapes and shapes[k] != expected[k]
    ]
    lines = []
    for fault, keys in (
        ("missing", [key for key in expected if key not in shapes]),
        ("unexpected", [key for key in shapes if key not in expected]),
        ("of another shape", reshaped),
    ):
        if keys:
            more = ", ..." if len(keys) > NAMED else ""
            lines.append("%d %s (%s%s)" % (len(keys), fault, ", ".join(keys[:NAMED]), more))
    return lines
