"""Check during an image's build that its Python, torch and packages fit each other.

    python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 monai.networks.nets
    /opt/model/adapter.py

``python=`` and ``torch=`` give versions, other words give modules to import, and a path gives an
adapter to import. An import needs no weights, because an adapter loads them in ``setup``. The
check fails the build with a sentence. Without it an image with packages of another Python builds,
and then every request ends as ``crashed``.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any, Iterator, List

from zoo_sdk.serve import import_adapter

#: where a Dockerfile puts packages
PACKAGES = "/opt/umd/"
#: CPython's tag in the name of a compiled module, such as _core.cpython-311-x86_64-linux-gnu.so
TAG = re.compile(r"\.cpython-(\d)(\d+)-[^/]*\.so$")


class Mismatch(Exception):
    """Something in the image does not fit; the message is for whoever builds it."""


def main(arguments: List[str]) -> int:
    """Run the command; returns the exit status."""
    try:
        check(arguments)
    except Mismatch as error:
        print("THE IMAGE DOES NOT FIT: %s" % error, file=sys.stderr)
        return 1
    return 0


def check(arguments: List[str]) -> None:
    """Check versions, compiled modules and imports, in this order.

    Raises:
        Mismatch: the first fault.
    """
    versions = dict(word.split("=", 1) for word in arguments if "=" in word)
    if "python" in versions:
        check_python(versions["python"])
    check_compiled(sys.path)
    if "torch" in versions:
        check_torch(versions["torch"])
    for name in [word for word in arguments if "=" not in word]:
        import_one(name)


def check_python(version: str) -> None:
    """Raises Mismatch unless this Python has the version, such as 3.11."""
    actual = "%d.%d" % sys.version_info[:2]
    if actual != version:
        raise Mismatch(
            "it has Python %s, and its packages are for Python %s. Build it on a base image with "
            "Python %s; UMD_BASE names one" % (actual, version, version)
        )


def check_compiled(folders: List[str]) -> None:
    """Raises Mismatch for a compiled module of another Python in a folder of packages."""
    actual = (sys.version_info[0], sys.version_info[1])
    for path in _compiled(folders):
        found = TAG.search(path.name)
        if found and (int(found.group(1)), int(found.group(2))) != actual:
            raise Mismatch(
                "%s is compiled for Python %s.%s, and the image has Python %d.%d"
                % (path, found.group(1), found.group(2), actual[0], actual[1])
            )


def _compiled(folders: List[str]) -> Iterator[Path]:
    for folder in folders:
        if folder.startswith(PACKAGES):
            yield from Path(folder).rglob("*.so")


def check_torch(version: str) -> None:
    """Raises Mismatch unless torch has this version, whatever its build (+cpu, +cu130)."""
    torch = import_one("torch")
    actual = str(torch.__version__)
    if actual.split("+")[0] != version:
        raise Mismatch("it has torch %s, and the zoo is tested with %s" % (actual, version))


def import_one(name: str) -> Any:
    """Import a module, or an adapter by its path; raises Mismatch with the reason."""
    try:
        return import_adapter(Path(name)) if "/" in name else importlib.import_module(name)
    except Exception as error:
        raise Mismatch(
            "%s cannot be imported with Python %s: %s: %s"
            % (name, sys.version.split()[0], type(error).__name__, error)
        ) from error


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
