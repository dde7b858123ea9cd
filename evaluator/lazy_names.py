"""Names of a package that are imported when they are first used.

A package that lists its names here can offer one constant without loading compiled code for it.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package whose names are imported on use (PEP 562).

    Args:
        package: the package's ``__name__``.
        modules: name -> module of the package that defines it, without the package's name.

    Returns:
        A function that imports a name and keeps it in the package.
    """

    def import_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{modules[name]}")
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return import_name
