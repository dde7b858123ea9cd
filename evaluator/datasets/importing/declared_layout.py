"""Folders of public datasets, whose layouts are in ``manifests/layouts``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import MODALITY_WORDS, LeftOut
from evaluator.datasets.importing.layout_files import LayoutFiles, add_image, add_reference
from evaluator.datasets.importing.patterns import Match, match_files
from evaluator.manifests.label_tables import read_label_table
from evaluator.manifests.layouts import layout_files, load_layout

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.datasets.importing.found import Labels
    from evaluator.datasets.importing.layout_files import LayoutOptions


def declared_files(
    root: Path, volumes: list[Path], options: LayoutOptions, name: str
) -> LayoutFiles:
    """The files of a dataset whose layout ``manifests/layouts`` has; options come first."""
    layout = load_layout(layout_files()[name])
    words = MODALITY_WORDS | layout.words | dict(options.words)
    files = LayoutFiles()
    seen: set[Path] = set()
    for reference in layout.references:
        labels: Labels = options.labels or reference.labels
        if not labels and reference.labels_file:
            labels = read_label_table(root / reference.labels_file).targets
        for match in match_files(root, volumes, reference.pattern):
            seen.add(match.path)
            word = {"modality": reference.modality} if reference.modality else {}
            named = Match(match.path, {**match.parts, **word})
            add_reference(files, named, {**words, "ct": "CT", "mr": "MR", "pt": "PT"}, labels)
    for pattern, reason in layout.left_out.items():
        for match in match_files(root, volumes, pattern):
            if match.path not in seen:
                seen.add(match.path)
                files.left_out.append(LeftOut(path=match.path, reason=reason))
    for pattern in layout.images:
        for match in match_files(root, volumes, pattern):
            if match.path not in seen:
                seen.add(match.path)
                add_image(files, match, words, pattern)
    return files
