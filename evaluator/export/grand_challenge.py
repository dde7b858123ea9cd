"""A run as the input of a Grand Challenge evaluation method.

``predictions.json`` lists a job for each image and seed; ``<pk>/output/<path>/`` holds its output
images, label maps in MHA. An evaluation method reads both below ``/input``, and has the ground
truth itself. Sources: DIAGNijmegen/rse-grand-challenge 4e38c78 and rse-grand-challenge-forge
306db6e.

A job has the masks of each target's last round. The platform evaluates successful jobs only, so an
image with a failed prediction has no job; ``left-out.json`` lists these.
"""

from __future__ import annotations

import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.containers.contracts import API_LABEL, INVOKE, SOCKETS_LABEL
from evaluator.containers.contracts.grand_challenge import socket_item
from evaluator.containers.contracts.sockets import parse_sockets
from evaluator.errors import UserError
from evaluator.files import write_bytes
from evaluator.runs.tables import last_round
from evaluator.types import Status
from evaluator.volumes.mha import write_mha

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from evaluator.containers.contracts.sockets import OutputSocket, SocketMap
    from evaluator.runs.results import RunFacts

logger = logging.getLogger(__name__)

GRAND_CHALLENGE = "grand-challenge"
#: names of jobs follow from the run and the image
NAMESPACE = uuid.UUID("0b9f5f4e-8f5f-4d0c-9f0a-6d5a4f1f7a52")
ANY = "*"


def write_predictions(
    run: RunFacts,
    predictions: pd.DataFrame,
    folder: Path,
    sockets: SocketMap | None,
    *,
    keep_ids: bool,
) -> list[Path]:
    """Write the folder that is an evaluation method's ``/input``.

    Args:
        run: the run.
        predictions: its predictions, with subjects and sessions named as in the export.
        folder: the new folder.
        sockets: inputs and outputs of the algorithm; None: those of the run's model.
        keep_ids: whether subjects have their original names, for the message.

    Returns:
        the files.

    Raises:
        UserError: the model has no socket map, or no prediction fits the one that is named.
        VolumeError: a mask cannot be read.
        HostError: a file cannot be written.
    """
    chosen = sockets or _sockets_of(run)
    paths: list[Path] = []
    jobs: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for image, rows in _images(last_round(predictions), chosen):
        failed = rows[rows["status"] != Status.OK]
        if len(failed):
            reasons = {f"{row.target}: {row.status}" for row in failed.itertuples()}
            left_out.append({"image": f"{image}.mha", "reason": ", ".join(sorted(reasons))})
            continue
        job, written = _write_job(run, chosen, image, rows, folder)
        jobs.append(job)
        paths += written
    if not jobs:
        raise UserError(
            f"run {run.name} has no image whose predictions all succeeded and fit the sockets "
            f"({', '.join(chosen.modalities)}); nothing was exported"
        )
    if left_out:
        logger.warning(
            "%d of %d images have a failed prediction and no job; left-out.json lists them",
            len(left_out),
            len(left_out) + len(jobs),
        )
    contents = {"predictions.json": jobs, "left-out.json": left_out}
    for file, body in contents.items():
        paths.append(folder / file)
        write_bytes(paths[-1], (json.dumps(body, indent=1) + "\n").encode())
    named = "the dataset's" if keep_ids else "numbers"
    logger.info("images are called SUBJECT.SESSION_MODALITY.mha; subjects have %s names", named)
    return paths


def _images(rows: pd.DataFrame, sockets: SocketMap) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each job, with the name of its image without ending."""
    has_seeds = len(rows["seed"].unique()) > 1
    columns = ["subject", "session", "modality", "seed"]
    for key, job_rows in rows.groupby(columns, observed=True):
        subject, session, modality, seed = map(str, key)
        if modality != sockets.modalities[0]:
            continue
        for name, target_rows in _portions(job_rows, sockets):
            image = f"{subject}.{session}_{modality}" + (f"_{name}" if name else "")
            yield image + (f"_seed{seed}" if has_seeds else ""), target_rows


def _sockets_of(run: RunFacts) -> SocketMap:
    card = run.info.card
    if SOCKETS_LABEL not in card:
        raise UserError(
            f"model {run.model} has no socket map; add --sockets, a TOML file or a name of "
            "manifests/sockets"
        )
    return parse_sockets(card[SOCKETS_LABEL], f"run {run.name}: label {SOCKETS_LABEL}")


def _portions(rows: pd.DataFrame, sockets: SocketMap) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each job: all targets with an output, or one each where the output takes any."""
    targets = [str(target) for target in rows["target"].unique() if sockets.output_of(str(target))]
    if any(ANY in socket.targets for socket in sockets.outputs.values()):
        return [(target, rows[rows["target"] == target]) for target in targets]
    return [("", rows[rows["target"].isin(targets)])] if targets else []


def _write_job(
    run: RunFacts, sockets: SocketMap, image: str, rows: pd.DataFrame, folder: Path
) -> tuple[dict[str, Any], list[Path]]:
    """Write the output images of a job; its entry in ``predictions.json``, and the files."""
    pk = str(uuid.uuid5(NAMESPACE, f"{run.name}/{image}"))
    masks = dict(zip(rows["target"].astype(str), rows["mask"].astype(str), strict=True))
    inputs, outputs, paths = [], [], []
    for number, (slug, socket) in enumerate(sockets.inputs.items(), 1):
        file = f"{image}.mha" if socket.modality else None
        inputs.append(socket_item(slug, socket, number, None, file))
    for number, (slug, output) in enumerate(sockets.outputs.items(), len(inputs) + 1):
        labels = _labels(run, output, masks)
        if labels is None:
            continue
        file = f"{uuid.uuid5(NAMESPACE, f'{pk}/{slug}')}.mha"
        path = folder / pk / "output" / output.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mha(path, *labels)
        paths.append(path)
        outputs.append(socket_item(slug, output, number, None, file))
    seconds = _duration(float(rows["seconds"].max()))
    invoked = run.info.card.get(API_LABEL) == INVOKE
    job = {
        "pk": pk,
        "inputs": inputs,
        "outputs": outputs,
        "status": "Succeeded",
        "exec_duration": None if invoked else seconds,
        "invoke_duration": seconds if invoked else None,
    }
    return job, paths


def _labels(run: RunFacts, output: OutputSocket, masks: Mapping[str, str]) -> Any:
    """The label map of an output image and its grid; None if it has none of the targets."""
    labels, grid = None, None
    for target, name in masks.items():
        value = output.targets.get(target, output.targets.get(ANY))
        if value is None:
            continue
        mask, grid = run.store.masks.read(name)
        if labels is None:
            labels = np.zeros(mask.shape, np.uint8 if value < 256 else np.uint16)
        labels[mask != 0] = value
    return None if labels is None else (labels, grid)


def _duration(seconds: float) -> str:
    """Seconds as ISO 8601, in the form of Django, such as P0DT00H00M01.500000S."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    return f"P{days}DT{hours:02d}H{minutes:02d}M{rest:09.6f}S"
