"""Published results for comparison with measured ones: ``manifests/published/*.toml``.

Each value has its data, its source, and whether it was checked against that source or is
second-hand.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import ManifestError
from evaluator.manifests.faults import invalid_manifest
from evaluator.types import Modality

if TYPE_CHECKING:
    from pathlib import Path


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Table):
    """One published value."""

    #: literature: reported by authors or surveys; paper: measured by the UMD paper on its data
    kind: Literal["literature", "paper"]
    metric: str = "dice"
    value: float
    #: None: the source gives one value for several modalities
    modality: Modality | None = None
    #: the other modality of the paired scans
    paired_with: Modality | None = None
    #: None: a mean over organs
    target: str | None = None
    #: the prompt according to the source; empty if it does not say
    prompt: str = ""
    #: the data of the measurement
    data: str = Field(min_length=1)
    source: str = Field(min_length=1)
    certainty: Literal["checked", "second-hand"]

    @property
    def modality_pair(self) -> str:
        """The modality pair, structural first, as in comparisons; "all" if there is no pair."""
        if self.paired_with is None or self.modality is None:
            return "all"
        return "-".join(sorted((self.modality, self.paired_with), key=lambda name: name == "PT"))


class Published(_Table):
    """Published values of one model."""

    #: names of the model cards
    models: tuple[str, ...] = Field(min_length=1)
    title: str = Field(min_length=1)
    note: str = ""
    figures: tuple[Figure, ...] = Field(min_length=1)


def load_published(folder: Path | None = None) -> tuple[Published, ...]:
    """Read all files of ``folder``, by default the project's ``manifests/published``.

    Raises:
        ManifestError: a file is invalid; the message names file and field.
    """
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
        raise invalid_manifest(path, error) from None
