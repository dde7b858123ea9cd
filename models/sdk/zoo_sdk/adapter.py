"""What a model author writes and returns: an adapter, its prediction, the seconds of its stages."""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Sequence, Union

if TYPE_CHECKING:
    from zoo_sdk.wire import Request, Target

#: A mask (array of the grid's shape, or a Crop of it; bool or 0/1), the reason for having none, or
#: the exception that failed this target only.
Outcome = Union[Any, "Unsupported", Exception]


class Unsupported(Exception):
    """The model cannot segment this target, or not from these prompts; reports show ``reason``.

    It may be returned as the outcome of a target, or raised: within ``each_target`` for one
    target, elsewhere in ``predict`` for all targets of the request.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __eq__(self, other: object) -> bool:
        """Equal reasons are equal."""
        return isinstance(other, Unsupported) and self.reason == other.reason

    def __hash__(self) -> int:
        """Of the reason."""
        return hash(self.reason)


@dataclass(frozen=True)
class Prediction:
    """The answer to one request: target name -> outcome; ``notes`` are any JSON values."""

    masks: Mapping[str, Outcome]
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: of load, preprocess, infer, postprocess; if empty, the time of ``predict`` is reported as
    #: ``total``
    seconds: Mapping[str, float] = field(default_factory=dict)


class Adapter:
    """Base class of a model's ``Adapter``.

    Deriving from it is optional and helps type checkers. ``setup`` may be left out, ``predict``
    may not.
    """

    def setup(self) -> None:
        """Load weights once, before the first request. The default needs nothing."""

    def predict(self, request: Request) -> Prediction | Mapping[str, Outcome]:
        """Answer one request: a Prediction, or just its mapping of masks."""
        raise NotImplementedError


class Seconds(Dict[str, float]):
    """Adds up wall-clock seconds by stage: ``with seconds.of("infer"): ...``."""

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Time the block, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[stage] = self.get(stage, 0.0) + time.perf_counter() - start


def choose_options(request: Request, options: Mapping[str, Sequence[str]]) -> Dict[str, str]:
    """The value of each of the model's options: the request's, else the default.

    Args:
        request: its ``options`` are the values that the user chose.
        options: name -> values, the default first.

    Raises:
        ValueError: the model does not have such an option or value.
    """
    for name, value in request.options.items():
        if value not in options.get(name, ()):
            choices = ["%s=%s" % (option, "|".join(options[option])) for option in options]
            available = "; ".join(choices) or "none"
            raise ValueError("option %s=%s; this model has %s" % (name, value, available))
    return {name: request.options.get(name, values[0]) for name, values in options.items()}


def each_target(request: Request, segment: Callable[[Target], Outcome]) -> Dict[str, Outcome]:
    """Segment target by target; an exception (except MemoryError) fails its target only.

    Returns:
        target name -> mask, ``Unsupported``, or the exception; ``predict`` may return it as it is.
    """
    outcomes: Dict[str, Outcome] = {}
    for target in request.targets:
        try:
            outcomes[target.name] = segment(target)
        except MemoryError:
            raise
        except Unsupported as refusal:
            outcomes[target.name] = refusal
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            outcomes[target.name] = error
    return outcomes
