"""Layouts of public datasets: where their images and references are, and who made the references.

Read from ``manifests/layouts/<name>.toml``. A layout has patterns of paths, so it holds for every
copy of the dataset.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import ManifestError
from evaluator.manifests.case_lists import Name
from evaluator.manifests.datasets import LabelValues
from evaluator.manifests.faults import invalid_manifest
from evaluator.types import ExpectedCounts, Modality

if TYPE_CHECKING:
    from pathlib import Path


class LayoutReference(BaseModel):
    """One kind of reference file; labels are listed, or in a table of the dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str
    #: the images that the file belongs to; None: all images on its grid
    modality: Modality | None = None
    labels: dict[Name, LabelValues] = {}
    #: file of the dataset with the names of labels, relative to its folder
    labels_file: str = ""


class Layout(BaseModel):
    """The layout of one dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1)
    license: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    reference_origin: str = Field(min_length=1)
    #: models whose output, or whose training data, the references are
    circular: tuple[str, ...] = ()
    #: shell patterns; a folder with a path of one of them is of this layout
    recognised_by: tuple[str, ...] = Field(min_length=1)
    images: tuple[str, ...] = Field(min_length=1)
    #: words in paths -> modality, beside the usual ones
    words: dict[str, Modality] = {}
    references: tuple[LayoutReference, ...] = Field(min_length=1)
    #: pattern -> why files of it are not part of the dataset
    left_out: dict[str, str] = {}
    expected: ExpectedCounts | None = None


def layout_files() -> dict[str, Path]:
    """The project's layouts: name -> file, sorted by name."""
    folder = paths.project() / "manifests" / "layouts"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_layout(path: Path) -> Layout:
    """Read a layout. Raises ManifestError naming the file and each field that is invalid."""
    try:
        return Layout.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise invalid_manifest(path, error) from None


def recognise_layout(root: Path) -> str | None:
    """The name of the public dataset that a folder is; None if it is none of them."""
    for name, path in layout_files().items():
        if any(any(root.glob(pattern)) for pattern in load_layout(path).recognised_by):
            return name
    return None
