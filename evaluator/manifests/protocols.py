"""Protocols: prompts, number of rounds and scores, read from ``manifests/protocols/*.toml``.

A protocol's id is immutable. ``manifests/protocols.lock`` contains the sha256 of each protocol's
parsed content (layout and comments do not matter), and a known id with different content is
refused, so tables with the name of one protocol are comparable.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError
from evaluator.manifests.faults import invalid_manifest
from evaluator.types import ClickRule, ImagePlan, Modality, PromptPlan, Protocol, RoundPlan


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Prompts(_Table):
    kinds: tuple[Literal["point", "box", "text", "class"], ...] = Field(min_length=1)
    points: int = Field(default=1, ge=1)
    point_rule: Literal["deepest", "random"] = "deepest"
    point_offset_mm: float = Field(default=0.0, ge=0)
    point_outside_mm: float = Field(default=0.0, ge=0)
    box_rule: Literal["tight", "cvpr25"] = "tight"
    box_jitter_mm: float = Field(default=0.0, ge=0)
    box_growth: float = Field(default=0.0, gt=-1)
    text_of: Literal["own", "other"] = "own"
    anchor: tuple[Modality, ...] = Field(default=("CT", "MR", "PT"), min_length=1)

    @model_validator(mode="after")
    def _one_point_outside(self) -> _Prompts:
        if self.point_outside_mm and (
            self.points > 1 or self.point_offset_mm or self.point_rule != "deepest"
        ):
            raise ValueError(
                "point_outside_mm needs exactly one point, and cannot be combined with other rules "
                "for its position"
            )
        return self


class _Images(_Table):
    grid: Literal["own", "common"] = "own"
    grid_of: Literal["anchor", "CT", "MR", "PT"] = "anchor"
    spacing_mm: float | None = Field(default=None, gt=0)
    blur_fwhm_mm: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _options_of_a_common_grid(self) -> _Images:
        if self.grid == "own" and self.model_fields_set - {"grid"}:
            raise ValueError('grid_of, spacing_mm and blur_fwhm_mm need grid = "common"')
        return self


class _Rounds(_Table):
    count: int = Field(default=1, ge=1)
    correction: Literal[
        "none", "largest-error-click", "random-error-click", "boundary-click", "scribble"
    ] = "none"
    clicks: Literal["own", "shared"] = "own"
    previous_mask: bool = False
    stop_at_dice: float | None = Field(default=None, gt=0, le=1)
    max_clicks: int | None = Field(default=None, ge=1)
    click_rule: ClickRule = "umd"

    @model_validator(mode="after")
    def _corrections_have_rounds(self) -> _Rounds:
        if (self.count > 1) != (self.correction != "none"):
            raise ValueError(
                "more than one round needs a correction, and a correction needs more than one round"
            )
        if self.click_rule == "cvpr25" and self.correction != "largest-error-click":
            raise ValueError("click_rule cvpr25 requires correction largest-error-click")
        if self.click_rule.startswith("autopet5") and self.correction != "scribble":
            raise ValueError(f"click_rule {self.click_rule} requires correction scribble")
        return self


class _File(_Table):
    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    prompts: _Prompts
    images: _Images = Field(default_factory=_Images)
    rounds: _Rounds = Field(default_factory=_Rounds)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1)
    failures_count_as: Literal["worst", "excluded"] = "worst"
    distance_cap_mm: float = Field(gt=0)
    nsd_tolerance_mm: float | None = Field(default=None, gt=0)
    variants: list[dict[str, Any]] = []

    @model_validator(mode="after")
    def _one_variant_a_seed(self) -> _File:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must not be repeated")
        if self.variants and len(self.variants) != len(self.seeds):
            raise ValueError(
                f"variants: {len(self.variants)} for {len(self.seeds)} seeds; each seed needs one"
            )
        return self

    def variant_plans(self) -> tuple[PromptPlan, ...]:
        """For each variant, the common prompts with the variant's fields in place of theirs."""
        common = self.prompts.model_dump(exclude_unset=True)
        plans = []
        for variant in self.variants:
            prompts = {name: value for name, value in variant.items() if name != "images"}
            plans.append(PromptPlan(**_Prompts.model_validate({**common, **prompts}).model_dump()))
        return tuple(plans)

    def image_plans(self) -> tuple[ImagePlan, ...]:
        """For each variant, its images, or those that all seeds share; empty if none has any."""
        if not any("images" in variant for variant in self.variants):
            return ()
        common = self.images.model_dump(exclude_unset=True)
        return tuple(
            ImagePlan(**_Images.model_validate(variant.get("images", common)).model_dump())
            for variant in self.variants
        )


def protocol_ids() -> list[str]:
    """Ids of the project's protocols, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_protocol(name: str) -> Protocol:
    """Read a protocol.

    Args:
        name: an id, or the path of a ``.toml`` file.

    Raises:
        UnknownNameError: there is no such id; the message suggests similar ones.
        ManifestError: the file is invalid, its id differs from its name, or its content differs
            from the lock.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    if name not in protocol_ids():
        raise UnknownNameError("protocol", name, protocol_ids())
    protocol = _read(_folder() / f"{name}.toml")
    if protocol.id != name:
        raise ManifestError(
            f"protocol file {name}.toml has id = {protocol.id!r}; the id must be the file's name"
        )
    return protocol


def locked_hashes() -> dict[str, str]:
    """The content of ``manifests/protocols.lock``: protocol id -> sha256.

    Raises:
        ManifestError: the file is invalid.
    """
    path = paths.project() / "manifests" / "protocols.lock"
    content = _parse(path)
    if not all(isinstance(value, str) for value in content.values()):
        raise ManifestError(f'{path}: expected lines of the form id = "sha256"')
    return content


def content_sha256(content: dict[str, Any]) -> str:
    """The hash of a parsed TOML table.

    It is the sha256 of its JSON with sorted keys; layout and comments of the file do not matter.
    """
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> Protocol:
    content = _parse(path)
    try:
        file = _File.model_validate(content)
        variants = file.variant_plans()
        image_variants = file.image_plans()
    except ValidationError as error:
        raise invalid_manifest(path, error) from None
    sha256 = content_sha256(content)
    if locked_hashes().get(file.id, sha256) != sha256:
        raise ManifestError(
            f"{path}: the content of protocol {file.id!r} differs from manifests/protocols.lock. "
            "A changed protocol is a new protocol: give it a new id (and file name), and restore "
            "the old content."
        )
    fields = file.model_dump(exclude={"prompts", "images", "rounds", "variants"})
    return Protocol(
        **fields,
        prompts=PromptPlan(**file.prompts.model_dump()),
        rounds=RoundPlan(**file.rounds.model_dump()),
        variants=variants,
        images=ImagePlan(**file.images.model_dump()),
        image_variants=image_variants,
        sha256=sha256,
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None


def _folder() -> Path:
    return paths.project() / "manifests" / "protocols"
