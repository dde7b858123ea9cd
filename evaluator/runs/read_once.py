"""What a command has read of a run folder, so that it reads it once.

Every table of a run is checked against the names, sizes and times of the run's files, which may
change at any moment. A command that only prints a run says so, and sees it as it is at the first
look.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

Value = TypeVar("Value")

_READ: ContextVar[dict[Hashable, Any] | None] = ContextVar("read", default=None)


@contextmanager
def read_once() -> Iterator[None]:
    """Within this context run folders are believed not to change."""
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


def once(key: Hashable, read: Callable[[], Value]) -> Value:
    """What ``read`` returns; within ``read_once`` it is called once for each key.

    The value is shared, so nobody may change it.
    """
    values = _READ.get()
    if values is None:
        return read()
    if key not in values:
        values[key] = read()
    value: Value = values[key]
    return value
