"""A small cache of values by a key that holds everything they depend on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Hashable


class Recent:
    """At most ``size`` values; the least recently used one is dropped first.

    A value may only depend on its key, so a cached value equals a computed one.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of the key, computed with ``make`` if it is not cached."""
        if key in self._values:
            self._values.move_to_end(key)
        else:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return self._values[key]
