"""Container contracts: how requests and answers look on disk.

A contract is a value of ``CONTRACTS``, named by the label ``umd.contract`` of a model's image. To
add one, write a module with a class that has the methods of ``Contract`` and one line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from evaluator.containers.contracts.cvpr25 import Cvpr25Contract
from evaluator.containers.contracts.grand_challenge import GrandChallengeContract
from evaluator.containers.contracts.native import NativeContract
from evaluator.containers.contracts.sockets import parse_sockets
from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.engines.spec import ContainerLayout, Mode, Workspace
    from evaluator.containers.requests import (
        ModelRequest,
        ScanInput,
        StagedRequest,
        StagedScan,
    )
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Failure, ModelCard
    from evaluator.volumes import MaskValidator
    from zoo_sdk.wire import Reply

__all__ = ["API_LABEL", "CONTRACTS", "INVOKE", "SOCKETS_LABEL", "Contract", "contract_of"]

#: the socket map of a Grand Challenge algorithm, as JSON
SOCKETS_LABEL = "umd.sockets"
#: Grand Challenge's label of images whose model is a server, and its value
API_LABEL, INVOKE = "org.grand-challenge.api-method", "invoke"


class Contract(Protocol):
    """How requests and answers of one container convention look on disk.

    ``output`` is the folder that one container writes into. Nothing that a container wrote is
    trusted: it is read with ``read_untrusted`` or through the validator.
    """

    #: as in the label ``umd.contract``
    name: str
    #: ways to run a container: "batch" (all requests, then exit), "serve" (a session over standard
    #: input and output), "invoke" (a session over HTTP, see ``invoke_session``)
    modes: tuple[Mode, ...]
    #: requests that one container of a batch may get; None: any number
    batch_size: int | None
    #: whether a request holds one target; the targets of a scan are then asked for one by one
    single_target: bool
    #: folders of the container
    layout: ContainerLayout

    def command(self, mode: Mode) -> list[str]:
        """Arguments of the container in this mode."""

    def stage_scan(self, scan: ScanInput, workspace: Workspace) -> StagedScan:
        """Write the images of a scan into the input folder, without anything that identifies it.

        Raises:
            VolumeError: an image cannot be read.
            HostError: the disk is full.
        """

    def stage_request(
        self, request: ModelRequest, scan: StagedScan, workspace: Workspace
    ) -> StagedRequest:
        """Write one request into the input folder.

        Raises:
            HostError: the disk is full.
        """

    def answer_path(self, request: StagedRequest, output: Path) -> Path:
        """The folder or file that holds the whole answer; it is removed when it was read."""

    def is_answered(
        self,
        request: StagedRequest,
        output: Path,
        *,
        following: StagedRequest | None,
        running: bool,
    ) -> bool:
        """True when a batch has finished this request.

        Args:
            request: the request.
            output: the container's output folder.
            following: the request after it.
            running: whether the container still runs.
        """

    def read_reply(self, request: StagedRequest, output: Path) -> Reply | Failure:
        """What the model reported of a batch's request; an empty reply if it reports nothing.

        Returns:
            The reply, or a Failure that counts for all targets.
        """

    def read_mask(
        self, request: StagedRequest, target: str, output: Path, validator: MaskValidator
    ) -> GridMask | Failure:
        """The validated mask of one target on the request's grid, or why there is none."""


CONTRACTS: dict[str, Contract] = {
    "1": NativeContract(),
    "cvpr25": Cvpr25Contract(name="cvpr25", batch_size=1),
    "grand-challenge": GrandChallengeContract(),
    "cvpr25-batch": Cvpr25Contract(name="cvpr25-batch", batch_size=None),
}
"""Every contract that a model's card may name."""


def contract_of(card: ModelCard) -> Contract:
    """The contract of a model, with what its card says of it.

    Raises:
        ManifestError: the card's socket map is missing or wrong.
    """
    if card.contract != GrandChallengeContract.name:
        return CONTRACTS[card.contract]
    where = f"model {card.name}: label {SOCKETS_LABEL}"
    if SOCKETS_LABEL not in card.labels:
        raise ManifestError(f"{where} is missing; register the image with --sockets")
    sockets = parse_sockets(card.labels[SOCKETS_LABEL], where)
    return GrandChallengeContract(sockets, invoke=card.labels.get(API_LABEL) == INVOKE)
