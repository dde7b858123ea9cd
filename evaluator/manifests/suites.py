"""Suites: models, datasets and protocols of a series of runs, with a control dataset.

Read from ``manifests/suites/<name>.toml``. The control is a dataset on which the models are known
to work: if a model fails on it too, an error of the pipeline is suspected rather than a bad model
(``evaluator.analysis.control_check``).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError
from evaluator.manifests.faults import invalid_manifest


class SuiteFamily(BaseModel):
    """Comparisons that are one family of tests, declared before the scores are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    #: models of the suite; empty: all
    models: tuple[str, ...] = ()
    #: names of targets, or "all targets"; empty: all
    targets: tuple[str, ...] = ()


class Suite(BaseModel):
    """One suite: every model runs on every dataset, the control included, under every protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    description: str = ""
    #: names of models of the zoo
    models: tuple[str, ...] = Field(min_length=1)
    #: names of datasets, or paths of manifests relative to the suite's file
    datasets: tuple[str, ...] = Field(min_length=1)
    protocols: tuple[str, ...] = Field(min_length=1)
    #: the dataset on which the models are known to work; None: the suite has no control
    control: str | None = None
    #: families of tests; the first that fits a comparison has it, the rest is one more family
    families: tuple[SuiteFamily, ...] = ()

    @model_validator(mode="after")
    def _families_are_of_the_suite(self) -> Suite:
        for family in self.families:
            unknown = sorted(set(family.models) - set(self.models))
            if unknown:
                raise ValueError(
                    f"family {family.name} has models that are not in the suite: "
                    f"{', '.join(unknown)}"
                )
        return self

    @model_validator(mode="after")
    def _each_once(self) -> Suite:
        for field in ("models", "datasets", "protocols"):
            names = getattr(self, field)
            if len(set(names)) < len(names):
                raise ValueError(f"{field} must not be repeated")
        return self

    @property
    def all_datasets(self) -> tuple[str, ...]:
        """The datasets with the control first, whose result tells if the rest is worth running."""
        control = (self.control,) if self.control else ()
        return tuple(dict.fromkeys((*control, *self.datasets)))


def suite_names() -> list[str]:
    """Names of the project's suites, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_suite(name: str) -> Suite:
    """Read a suite.

    Args:
        name: the name of a suite, or the path of a ``.toml`` file.

    Raises:
        UnknownNameError: there is no such suite; the message suggests similar names.
        ManifestError: the file is invalid; the message names file and field.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    if name not in suite_names():
        raise UnknownNameError("suite", name, suite_names())
    return _read(_folder() / f"{name}.toml")


def _read(path: Path) -> Suite:
    try:
        suite = Suite.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise invalid_manifest(path, error) from None

    def from_suite(source: str) -> str:
        return str(path.parent / source) if source.endswith(".toml") else source

    update = {
        "datasets": tuple(map(from_suite, suite.datasets)),
        "control": suite.control and from_suite(suite.control),
    }
    return suite.model_copy(update=update)


def _folder() -> Path:
    return paths.project() / "manifests" / "suites"
