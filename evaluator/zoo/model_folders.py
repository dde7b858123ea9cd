"""Models of the user that have a Dockerfile, outside the checkout.

A folder ``NAME`` with a ``Dockerfile`` in ``paths.user_models()`` is a model. The folder is the
build context. The model card is put together from, later ones winning: the usual values of the
contract, ``sockets.toml`` (for contract grand-challenge), the labels of the Dockerfile's last
stage, and ``card.toml``, whose keys may leave out ``umd.``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers.contracts import API_LABEL, CONTRACTS
from evaluator.errors import ManifestError
from evaluator.zoo.cards import dockerfile_labels, parse_card
from evaluator.zoo.dockerfiles import copied_paths, read_dockerfile
from evaluator.zoo.foreign_cards import DEFAULT_CARDS, card_labels, socket_labels

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.types import ModelCard

DOCKERFILE, CARD, SOCKETS = "Dockerfile", "card.toml", "sockets.toml"


def folder_dockerfiles() -> list[Path]:
    """The Dockerfiles of all such models, by name."""
    return sorted(paths.user_models().glob(f"*/{DOCKERFILE}"))


def folder_labels(dockerfile: Path) -> dict[str, str]:
    """All labels of such a model's card.

    Raises:
        ManifestError: a file cannot be read, or no contract is named.
        UserError: the socket map is missing.
    """
    folder = dockerfile.parent
    labels = {
        name: text
        for name, text in dockerfile_labels(read_dockerfile(dockerfile)).items()
        if name.startswith("umd.") or name == API_LABEL
    }
    card = card_labels(folder / CARD) if (folder / CARD).is_file() else {}
    contract = (labels | card).get("umd.contract", "grand-challenge" if API_LABEL in labels else "")
    if contract not in CONTRACTS:
        raise ManifestError(
            f"{dockerfile}: the contract is {contract or 'not named'}; write the label "
            f'umd.contract, or contract = "..." in {CARD}: one of {", ".join(CONTRACTS)}'
        )
    sockets = {}
    if contract == "grand-challenge":
        sockets = socket_labels(str(folder / SOCKETS))
    name = {"umd.contract": contract, "umd.name": folder.name}
    return {
        "umd.title": folder.name,
        **DEFAULT_CARDS[contract],
        **sockets,
        **labels,
        **card,
        **name,
    }


def folder_card(dockerfile: Path) -> ModelCard:
    """The card of such a model.

    Raises:
        ManifestError: its files cannot be used; the message says why.
    """
    copied_paths(read_dockerfile(dockerfile))
    return parse_card(folder_labels(dockerfile), str(dockerfile))
