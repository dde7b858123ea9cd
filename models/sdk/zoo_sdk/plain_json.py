"""JSON that a stranger wrote, taken only where it is plain: then no number and no nesting can harm who reads on."""

import json
import math
from typing import Any

from zoo_sdk.wire import WireError

#: levels of lists and objects within each other; a request has six
DEEPEST = 32

#: whole numbers lie below this, in magnitude: they fit into 64 bits, and a float
LARGEST = 2**63


def loads(line: str) -> Any:
    """Parse JSON without NaN, without a number that 64 bits cannot hold, without deep nesting. Raises WireError."""
    try:
        body = json.loads(line, parse_constant=_refuse, parse_float=_float, parse_int=_whole)
    except WireError:
        raise
    except ValueError as error:
        raise WireError("not JSON: %s" % error) from None
    except RecursionError:
        raise WireError("nested too deeply") from None
    level = [body]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, (list, dict)) for inner in _inside(outer)]
        if not level:
            return body
    raise WireError("nested too deeply")


def _refuse(constant: str) -> Any:
    raise WireError("%s is not JSON" % constant)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise WireError("%s is too large a number" % text[:40])
    return value


def _whole(text: str) -> int:
    # longer than any number of 64 bits: int() itself refuses very long ones, in other words
    if len(text) > 20 or abs(int(text)) >= LARGEST:
        raise WireError("%s is too large a number" % text[:40])
    return int(text)


def _inside(outer: Any) -> Any:
    return outer.values() if isinstance(outer, dict) else outer
