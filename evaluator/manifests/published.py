"""Figures that others published, to stand beside measured ones: ``manifests/published/*.toml``.

Each figure says what it is of, where it stands, and whether it was checked against that source or is second-hand.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import ManifestError
from evaluator.types import Modality

if TYPE_CHECKING:
    from pathlib import Path


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Table):
    """One published figure."""

    #: literature: what authors or surveys report of the model; paper: what the UMD paper measured on its own data
    kind: Literal["literature", "paper"]
    metric: str = "dice"
    value: float
    #: None: the source gives one figure over several modalities
    modality: Modality | None = None
    #: the other modality of the paired scans that it was measured on
    paired_with: Modality | None = None
    #: None: a mean over organs
    target: str | None = None
    #: what the model was asked with, as the source says; empty if it does not
    prompt: str = ""
    #: what it was measured on
    data: str = Field(min_length=1)
    source: str = Field(min_length=1)
    certainty: Literal["checked", "second-hand"]

    @property
    def modality_pair(self) -> str:
        """As in the frames of a comparison: structural first, "all" where the figure is of no pair."""
        if self.paired_with is None or self.modality is None:
            return "all"
        return "-".join(sorted((self.modality, self.paired_with), key=lambda name: name == "PT"))


class Published(_Table):
    """What is published of one model."""

    #: names of model cards that the figures are for
    models: tuple[str, ...] = Field(min_length=1)
    title: str = Field(min_length=1)
    note: str = ""
    figures: tuple[Figure, ...] = Field(min_length=1)


def load_published(folder: Path | None = None) -> tuple[Published, ...]:
    """All files of the project's ``manifests/published``, or of the folder, by name. Raises ManifestError."""
    folder = folder or paths.project() / "manifests" / "published"
    return tuple(_read(path) for path in sorted(folder.glob("*.toml")))


def _read(path: Path) -> Published:
    try:
        return Published.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ManifestError("\n  ".join([f"{path}:", *faults])) from None
