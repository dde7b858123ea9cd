"""The words that a text-prompted model wants for an organ, from the label ``umd.texts`` of its card.

Models learned other names for the same thing: ``umd.texts="bladder=urinary bladder; lesion=tumor"``. What is not named
there is asked for by the first wording of ``manifests/organs.toml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import BadManifest

if TYPE_CHECKING:
    from evaluator.types import ModelCard

LABEL = "umd.texts"


def read_wordings(card: ModelCard) -> dict[str, str]:
    """Organ -> words. Raises BadManifest for a label that is not of the form ``organ=words; organ=words``."""
    words: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in card.labels.get(LABEL, "").split(";"))):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not (name and equals and text) or name in words:
            raise BadManifest(
                f"model {card.name}: label {LABEL}: {part!r}: write organ=words, each organ once, semicolons between them"
            )
        words[name] = text
    return words
