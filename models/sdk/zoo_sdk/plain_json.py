"""Untrusted JSON: only values with harmless numbers and nesting are accepted."""

import json
import math
from itertools import chain
from typing import Any, Iterable

from zoo_sdk.wire import WireError

#: levels of nested lists and objects; a request has six
DEEPEST = 32

#: magnitude below which integers lie: they fit into 64 bits, and into a float
LARGEST = 2**63


def loads(line: str) -> Any:
    """Parse JSON without NaN, numbers beyond 64 bits and deep nesting. Raises WireError."""
    try:
        body = json.loads(line, parse_constant=_refuse, parse_float=_float, parse_int=_integer)
    except WireError:
        raise
    except ValueError as error:
        raise WireError("not JSON: %s" % error) from None
    except RecursionError:
        raise WireError("nested too deeply") from None
    level = [body]
    for _ in range(DEEPEST):
        level = list(chain.from_iterable(map(_inside, level)))
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


def _integer(text: str) -> int:
    # longer than any number of 64 bits: int() refuses very long ones with another message
    if len(text) > 20 or abs(int(text)) >= LARGEST:
        raise WireError("%s is too large a number" % text[:40])
    return int(text)


def _inside(value: Any) -> Iterable[Any]:
    """The values within a list or an object; of anything else, nothing."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
