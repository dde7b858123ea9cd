"""What a model author writes and gives back: the adapter, its prediction, and a stopwatch for its stages."""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Sequence, Union

if TYPE_CHECKING:
    from zoo_sdk.wire import Request, Target

#: A mask (array of the grid's shape, or a Crop of it; bool or 0/1), why there is none, or the exception that this target
#: alone met.
Outcome = Union[Any, "Unsupported", Exception]


@dataclass(frozen=True)
class Unsupported:
    """The model does not do this target, or not from these prompts; ``reason`` is shown to the reader."""

    reason: str


@dataclass(frozen=True)
class Prediction:
    """The answer to one request: target name -> outcome; ``notes`` are any JSON values."""

    masks: Mapping[str, Outcome]
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: of load, preprocess, infer, postprocess; without any, the whole of ``predict`` is told as ``total``
    seconds: Mapping[str, float] = field(default_factory=dict)


class Adapter:
    """Base of a model's ``Adapter``; deriving from it is a help to type checkers, not a must."""

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
    """The value of each of the model's options (name -> its values, the default first): the request's, else the default.

    Raises ValueError for a name or value that the model does not have.
    """
    for name, value in request.options.items():
        if value not in options.get(name, ()):
            known = "; ".join("%s=%s" % (own, "|".join(values)) for own, values in options.items())
            raise ValueError("option %s=%s; this model has %s" % (name, value, known or "none"))
    return {name: request.options.get(name, values[0]) for name, values in options.items()}


def each_target(request: Request, segment: Callable[[Target], Outcome]) -> Dict[str, Outcome]:
    """Segment target by target; an exception (not a lack of memory) costs only the target that met it."""
    outcomes: Dict[str, Outcome] = {}
    for target in request.targets:
        try:
            outcomes[target.name] = segment(target)
        except MemoryError:
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            outcomes[target.name] = error
    return outcomes
