"""The files that a layout found, before images and references are matched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import LeftOut, dataset_name, modality_of
from evaluator.datasets.importing.match_scans import ImageFile, ReferenceFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.datasets.importing.found import Labels
    from evaluator.datasets.importing.patterns import Match
    from evaluator.types import Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOptions:
    """What the user says of a folder."""

    #: paths of images and of references, with named parts
    images: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    #: names of the labels of a label map, or of a mask
    labels: Labels = field(default_factory=dict)
    #: words in names -> modality, beside the usual ones
    words: Mapping[str, Modality] = field(default_factory=dict)
    #: words of images that come first where a session has several of a modality
    preferred: tuple[str, ...] = ()
    #: each further image of a modality is a session of its own; else it is left out
    each_series: bool = False
    #: images without a reference on their grid get those of another image of the session
    share_references: bool = False


@dataclass(slots=True)
class LayoutFiles:
    """What a layout found before images and references are matched."""

    images: list[ImageFile] = field(default_factory=list)
    references: list[ReferenceFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def add_image(
    files: LayoutFiles, match: Match, words: Mapping[str, Modality], pattern: str
) -> None:
    """Add a file that a pattern for images matches; without a modality it is left out."""
    word = match.parts.get("modality")
    modality = modality_of(word if word is not None else pattern, words)
    if modality is None:
        reason = f"{word or pattern!r} names no modality; add --modality {word or 'WORD'}=CT"
        files.left_out.append(LeftOut(path=match.path, reason=reason))
        return
    files.images.append(
        ImageFile(
            path=match.path,
            subject=match.parts["subject"],
            session=match.parts.get("session"),
            modality=modality,
            word=word,
        )
    )


def add_reference(
    files: LayoutFiles, match: Match, words: Mapping[str, Modality], labels: Labels
) -> None:
    """Add a file that a pattern for references matches; without names of labels it is left out.

    A file of one target, which its path names, holds 1 unless ``labels`` has another value.
    """
    target, word = match.parts.get("target"), match.parts.get("modality")
    table = labels
    if target:
        name = dataset_name(target)  # as the import shows it
        table = {target: labels.get(target) or labels.get(name, (1,))}
    if not table:
        reason = "the names of its labels are not known; add --labels FILE or --label NAME=VALUE"
        files.left_out.append(LeftOut(path=match.path, reason=reason))
        return
    files.references.append(
        ReferenceFile(
            path=match.path,
            subject=match.parts["subject"],
            session=match.parts.get("session"),
            modality=modality_of(word, words) if word else None,
            word=word,
            labels=table,
        )
    )
