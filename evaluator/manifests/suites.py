"""Suites: which models are run on which datasets under which protocols, and on what they are known to work.

Read from ``manifests/suites/<name>.toml``. A control is a dataset on which the models are known to work: a model that
fails on it too is suspected of being wrongly fed, not of being bad (``evaluator.analysis.control_check``).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError


class Suite(BaseModel):
    """One suite; every model is run on every dataset, the control included, under every protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    description: str = ""
    #: names of models of the zoo
    models: tuple[str, ...] = Field(min_length=1)
    #: names of datasets, or paths of manifests relative to the suite's file
    datasets: tuple[str, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = Field(min_length=1)
    #: the dataset that the models are known to work on; None: the suite has no control
    control: str | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Suite:
        for field in ("models", "datasets", "protocols"):
            names = getattr(self, field)
            if len(set(names)) < len(names):
                raise ValueError(f"{field}: each may stand once only")
        return self

    @property
    def all_datasets(self) -> tuple[str, ...]:
        """The datasets with the control, which is run first: it tells whether the rest is worth running."""
        return tuple(dict.fromkeys((*([self.control] if self.control else []), *self.datasets)))


def suite_names() -> list[str]:
    """Names of the project's suites, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_suite(name: str) -> Suite:
    """The suite of this name, or the one in the file at this path if the name ends in ``.toml``.

    Raises UnknownNameError with near misses, ManifestError naming file and field.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    if name not in suite_names():
        raise UnknownNameError("suite", name, suite_names())
    return _read(_folder() / f"{name}.toml")


def _read(path: Path) -> Suite:
    try:
        suite = Suite.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ManifestError("\n  ".join([f"{path}:", *faults])) from None

    def beside(source: str) -> str:
        return str(path.parent / source) if source.endswith(".toml") else source

    moved = {
        "datasets": tuple(map(beside, suite.datasets)),
        "control": suite.control and beside(suite.control),
    }
    return suite.model_copy(update=moved)


def _folder() -> Path:
    return paths.project() / "manifests" / "suites"
