"""The organs of the project: surface tolerances, text prompts, and usual volumes.

Read from ``manifests/organs.toml``, which gives a source for every tolerance and volume.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import ManifestError
from evaluator.manifests.faults import invalid_manifest

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
    #: volumes in the reference woman and man, the smaller first, ml; None: not known
    volume_ml: tuple[float, float] | None = None
    #: publication of the volumes
    volume_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organs:
    """All organs by name, and the default tolerance of other targets.

    A target's name is that of an organ if it differs only in case, spaces, underscores and dashes
    from its name or one of its texts: ``Liver``, ``kidney_left`` and ``left kidney`` are known.
    """

    organs: Mapping[str, Organ]
    default_tolerance_mm: float
    default_source: str

    def names(self) -> tuple[str, ...]:
        """Names in the manifest's order."""
        return tuple(self.organs)

    def find(self, target: str) -> str | None:
        """The name of the organ that a target is; None if the manifest does not know it."""
        if target in self.organs:
            return target
        plain = plain_name(target)
        for name, organ in self.organs.items():
            if plain in {plain_name(known) for known in (name, *organ.texts)}:
                return name
        return None

    def near(self, target: str) -> tuple[str, ...]:
        """Names that are similar to a target's, the most similar first, at most three."""
        known: dict[str, str] = {}
        for name, organ in self.organs.items():
            known |= {plain_name(word): name for word in (name, *organ.texts)}
        plain = plain_name(target)
        words = set(plain.split("-"))
        sharing = [name for word, name in known.items() if set(word.split("-")) <= words]
        similar = [known[word] for word in get_close_matches(plain, known, n=3, cutoff=0.75)]
        return tuple(dict.fromkeys([*sharing, *similar]))[:3]

    def tolerance_mm(self, name: str) -> float:
        """The NSD tolerance in millimetres; the default if the name is not in the manifest."""
        organ = self._organ(name)
        return organ.tolerance_mm if organ else self.default_tolerance_mm

    def source(self, name: str) -> str:
        """The publication of the tolerance, shown with the value."""
        organ = self._organ(name)
        return organ.source if organ else self.default_source

    def kind(self, name: str) -> Kind | None:
        """The kind of structure; None if the name is not in the manifest."""
        organ = self._organ(name)
        return organ.kind if organ else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Text prompts for the organ; for an unknown name, the name with spaces for dashes."""
        organ = self._organ(name)
        return organ.texts if organ else (name.replace("-", " "),)

    def volume_ml(self, name: str) -> tuple[float, float] | None:
        """Volumes in the reference woman and man, the smaller first, ml; None if not known."""
        organ = self._organ(name)
        return organ.volume_ml if organ else None

    def _organ(self, target: str) -> Organ | None:
        name = self.find(target)
        return self.organs[name] if name else None


def plain_name(target: str) -> str:
    """A name in small letters, its words divided by dashes."""
    return "-".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", target).casefold().strip()))


class _Default(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    tolerance_mm: float = Field(gt=0, allow_inf_nan=False)
    source: str = Field(min_length=1)


class _Organ(_Default):
    texts: list[str] = Field(min_length=1)
    kind: Kind = "organ"
    volume_ml: list[float] | None = Field(default=None, min_length=2, max_length=2)
    volume_source: str = ""


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
        content = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); it lists the organs"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise invalid_manifest(path, error) from None
    return Organs(
        organs={
            name: Organ(
                tolerance_mm=organ.tolerance_mm,
                source=organ.source,
                texts=tuple(organ.texts),
                kind=organ.kind,
                volume_ml=(min(organ.volume_ml), max(organ.volume_ml)) if organ.volume_ml else None,
                volume_source=organ.volume_source,
            )
            for name, organ in content.organs.items()
        },
        default_tolerance_mm=content.default.tolerance_mm,
        default_source=content.default.source,
    )
