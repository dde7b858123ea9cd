"""The organs of the project: surface tolerances and text prompts.

Read from ``manifests/organs.toml``, which gives a source for every tolerance.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Kind = Literal["organ", "tube", "lesions"]
"""A tube has a centre line; lesions are several components that are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organ:
    """One structure: its tolerance for NSD with its source, and its text prompts."""

    tolerance_mm: float
    #: publication of the tolerance
    source: str
    #: text prompts, the simplest first
    texts: tuple[str, ...]
    kind: Kind = "organ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organs:
    """All organs by name, and the default tolerance of other targets."""

    organs: Mapping[str, Organ]
    default_tolerance_mm: float
    default_source: str

    def names(self) -> tuple[str, ...]:
        """Names in the manifest's order."""
        return tuple(self.organs)

    def tolerance_mm(self, name: str) -> float:
        """The NSD tolerance in millimetres; the default if the name is not in the manifest."""
        organ = self.organs.get(name)
        return organ.tolerance_mm if organ else self.default_tolerance_mm

    def source(self, name: str) -> str:
        """The publication of the tolerance, shown with the value."""
        organ = self.organs.get(name)
        return organ.source if organ else self.default_source

    def kind(self, name: str) -> Kind | None:
        """The kind of structure; None if the name is not in the manifest."""
        organ = self.organs.get(name)
        return organ.kind if organ else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Text prompts for the organ; for an unknown name, the name with spaces for dashes."""
        organ = self.organs.get(name)
        return organ.texts if organ else (name.replace("-", " "),)


class _Default(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    tolerance_mm: float = Field(gt=0)
    source: str = Field(min_length=1)


class _Organ(_Default):
    texts: list[str] = Field(min_length=1)
    kind: Kind = "organ"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    default: _Default
    organs: dict[str, _Organ]


@cache
def load_organs(path: Path | None = None) -> Organs:
    """Read organs from ``path``, by default the project's ``manifests/organs.toml``.

    Raises:
        ManifestError: the file is invalid.
    """
    path = path or paths.project() / "manifests" / "organs.toml"
    try:
        content = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); it lists the organs"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ManifestError(f"{path}: {error}") from None
    return Organs(
        organs={
            name: Organ(
                tolerance_mm=organ.tolerance_mm,
                source=organ.source,
                texts=tuple(organ.texts),
                kind=organ.kind,
            )
            for name, organ in content.organs.items()
        },
        default_tolerance_mm=content.default.tolerance_mm,
        default_source=content.default.source,
    )
