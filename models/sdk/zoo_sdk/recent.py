"""Remember what was made last: values by a key that says everything they depend on, the least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Hashable


class Recent:
    """At most ``size`` values. A value may only depend on its key, so that a remembered one is the one made anew."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of the key, made if it is not remembered."""
        if key in self._values:
            self._values.move_to_end(key)
        else:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return self._values[key]
