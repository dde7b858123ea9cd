"""A model of the zoo as an image that Grand Challenge can run: its own image with a server on top.

The new image serves the model's adapter by ``zoo_sdk.grand_challenge``. Nothing else changes, so
the model answers there as it answers here.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from isal import igzip

from evaluator import paths
from evaluator.containers.contracts import API_LABEL, INVOKE, SOCKETS_LABEL
from evaluator.errors import UserError
from evaluator.files import whole_file
from evaluator.zoo.engine_images import open_image_store
from evaluator.zoo.foreign_cards import socket_labels
from evaluator.zoo.image_builder import ImageBuildConfig, ensure_image
from evaluator.zoo.sources import read_sources
from evaluator.zoo.weights import default_weights

if TYPE_CHECKING:
    from evaluator.types import ModelCard
    from evaluator.zoo.catalog import ZooModel
    from evaluator.zoo.image_store import ImageStore

logger = logging.getLogger(__name__)

#: how images of the SDK begin
SERVE = ("python3", "-m", "zoo_sdk.serve")
DOCKERFILE = """FROM {image}
COPY sockets.json /opt/umd/sockets.json
USER 1000:1000
ENTRYPOINT {entrypoint}
CMD []
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutwardImage:
    """An image for Grand Challenge."""

    reference: str
    digest: str
    #: file of ``docker save``; None: none was written
    path: Path | None


def export_image(
    model: ZooModel,
    sockets: str,
    path: Path | None,
    config: ImageBuildConfig | None = None,
    *,
    store: ImageStore | None = None,
) -> OutwardImage:
    """Build the image, and save it as a file.

    Args:
        model: a model of contract 1 that uses the SDK.
        sockets: a socket map: a file, or a name of ``manifests/sockets``.
        path: new file, ``.tar`` or ``.tar.gz``; None: the image stays in the engine only.
        config: how the model's own image is built.
        store: images of an engine; None: of the first engine that answers.

    Raises:
        UserError: the model cannot be exported; the message says why.
        HostError: the file cannot be written.
    """
    labels = _labels(model.card, sockets)
    builder = store or open_image_store()
    weights = default_weights(read_sources(model.name))
    if weights.kind == "mounted":
        logger.warning(
            "model %s has no published weights, and the image has none: upload a tar file of its "
            "weights as the algorithm's model, which the platform unpacks to /opt/ml/model",
            model.name,
        )
    order = replace(config or ImageBuildConfig(), weights=weights)
    built = ensure_image(model, order, store=builder)
    described = builder.describe(built.digest)
    if model.card.contract != "1" or described.entrypoint[: len(SERVE)] != SERVE:
        raise UserError(
            f"model {model.name} does not use the SDK (its entrypoint is "
            f"{' '.join(described.entrypoint) or 'empty'}); only models that do can be exported"
        )
    if described.architecture != "amd64":
        logger.warning(
            "the image is for %s; Grand Challenge runs amd64 only", described.architecture
        )
    entrypoint = ("python3", "-m", "zoo_sdk.grand_challenge", *described.entrypoint[len(SERVE) :])
    reference = f"umd/{model.name}-grand-challenge:latest"
    with tempfile.TemporaryDirectory(dir=_build_folder()) as temporary:
        folder = Path(temporary)
        (folder / "sockets.json").write_text(labels[SOCKETS_LABEL], encoding="utf-8")
        text = DOCKERFILE.format(
            image=built.reference,
            entrypoint=json.dumps([*entrypoint, "/opt/umd/sockets.json"]),
        )
        (folder / "Dockerfile").write_text(text, encoding="utf-8")
        digest = builder.build(
            folder, "Dockerfile", reference, what=reference, labels=labels, network=False
        )
    if path is not None:
        _save(builder, reference, path)
    return OutwardImage(reference=reference, digest=digest, path=path)


def _labels(card: ModelCard, sockets: str) -> dict[str, str]:
    """The labels of the image, which also let this evaluator run it by the platform's rules."""
    labels = socket_labels(sockets)
    modalities = tuple(labels["umd.inputs"].split("+"))
    if modalities not in card.inputs:
        alternatives = " | ".join(map("+".join, card.inputs))
        raise UserError(
            f"the socket map {sockets} has the images {labels['umd.inputs']}, and model "
            f"{card.name} takes {alternatives}"
        )
    offered = [kind for kind in labels["umd.prompts"].split(",") if kind in card.prompts]
    if card.prompts and not offered:
        raise UserError(
            f"the socket map {sockets} gives {labels['umd.prompts'] or 'no prompts'}, and model "
            f"{card.name} needs {', '.join(card.prompts)}"
        )
    labels["umd.prompts"] = ",".join(offered)
    return {**labels, "umd.contract": "grand-challenge", "umd.session": "", API_LABEL: INVOKE}


def _build_folder() -> Path:
    folder = paths.cache() / "build"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _save(builder: ImageStore, reference: str, path: Path) -> None:
    if not path.name.endswith((".tar", ".tar.gz")):
        raise UserError(f"{path}: the file's name must end in .tar or .tar.gz")
    if path.name.endswith(".tar"):
        builder.save(reference, path)
        return
    plain = path.with_name(f"{path.name}.plain")
    try:
        builder.save(reference, plain)
        with (
            whole_file(path) as packed,
            plain.open("rb") as source,
            igzip.open(packed, "wb", compresslevel=1) as target,
        ):
            shutil.copyfileobj(source, target, 2**20)
    finally:
        plain.unlink(missing_ok=True)
