"""``models/<model>/expected.toml``: the tensors that each file of weights must have.

Recorded from the architecture at full size (``--weights random:full``), whose files have the
published format. Known other files are listed, so that a wrong one is named as what it is.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator import paths
from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = r"^[0-9a-f]{64}$"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpectedFile(_Table):
    """The tensors of one file."""

    #: the path of ``sources.toml``
    into: str
    tensors: int = Field(ge=1)
    #: numbers in all tensors that are not ignored; tensors that share numbers are counted each
    numbers: int = Field(ge=1)
    #: of the sorted list of name, shape and type
    digest: str = Field(pattern=DIGEST)
    #: parts of names of tensors that the loader does not use
    ignored: tuple[str, ...] = ()
    #: a prefix of names that the loader removes, if it is there
    prefix: str = ""


class OtherFile(_Table):
    """A file that is mistaken for one of the model's; recognised by any of its properties."""

    name: str = Field(min_length=1)
    bytes: int | None = None
    #: the first digits suffice
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{12,64}$")
    digest: str | None = Field(default=None, pattern=DIGEST)
    #: a part of the name of a tensor that only this file has
    tensor: str | None = None

    @model_validator(mode="after")
    def _has_a_property(self) -> Self:
        if not (self.bytes or self.sha256 or self.digest or self.tensor):
            raise ValueError("needs bytes, sha256, digest or tensor")
        return self


class Texts(_Table):
    """Where the texts are that a text model knows."""

    #: an npz file of the weights with an array ``labels``
    bank: str | None = None
    #: a module beside the adapter with a function ``numbers(text)``, empty for an unknown text
    module: str | None = None


class Golden(_Table):
    """What is special about a model's golden case (``evaluator.evaluation.golden``)."""

    #: name or manifest of the example; the default is TotalSegmentator's
    dataset: str | None = None
    #: target -> Dice that must be reached, instead of the usual organs
    floors: dict[str, float] = {}
    #: the network sees CT through a fixed window, so an offset of the values must hurt it
    fixed_window: bool = False


class Expectations(_Table):
    """All that is known of a model's files."""

    #: how the tensors were recorded
    recorded: str = ""
    file: tuple[ExpectedFile, ...] = ()
    other: tuple[OtherFile, ...] = ()
    texts: Texts | None = None
    golden: Golden | None = None


def expectations_path(model: str) -> Path:
    """The file of a model's expectations."""
    return paths.project() / "models" / model / "expected.toml"


def read_expectations(model: str) -> Expectations:
    """The expectations of a model; empty if it has none.

    Raises:
        ManifestError: the file is invalid.
    """
    path = expectations_path(model)
    if not path.exists():
        return Expectations()
    try:
        return Expectations.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ManifestError(f"{path}: {error}") from None
