"""nnInteractive's session from its package, on strictly loaded weights; images are prepared once.

The session holds one image and one object. A hash of its values identifies the image. An object's
masks are cached by all prompts that led to them, so a round continues from the round before, and a
reply never depends on earlier requests. Continuing equals sending a mask back: the mask is the
initial segmentation, and the prompts that led to it are added without a prediction, which restores
the session.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Tuple

import numpy as np
import torch
from nnInteractive.inference.inference_session import nnInteractiveInferenceSession
from pipeline import Click, Prompt, Slice, Step

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_sdk.weights import WrongWeights, network_size, weights_folder

#: masks of volumes, one bit a voxel: 7 MB for 400 x 400 x 350
MASKS = 64
#: upstream's planning of refinement falls back on numpy's global generator
SEED = 0


class NnInteractive:
    """See ``pipeline.Network``."""

    def __init__(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._session = open_session(self.device)
        self._image: Volume | None = None
        self._key: Any = None
        self._shown: Any = None
        self._masks = Recent(MASKS)

    def segment(
        self,
        image: Volume,
        start: Any,
        earlier: Tuple[Prompt, ...],
        steps: Tuple[Step, ...],
        *,
        autozoom: bool,
    ) -> Any:
        """The mask after the last step."""
        if image is not self._image:
            # all targets of a request have the same image
            self._image, self._key = image, (_hash(as_float(image.array)), image.array.shape)
        origin = (
            self._key,
            autozoom,
            None if start is None else _hash(np.packbits(start)),
            earlier,
        )
        self._session.set_do_autozoom(autozoom)
        try:
            return self._go(origin, start, earlier, steps)
        except BaseException:
            self._shown = None  # whatever state the session is in, it is not gone on from
            raise

    def _go(
        self, origin: Any, start: Any, earlier: Tuple[Prompt, ...], steps: Tuple[Step, ...]
    ) -> Any:
        mask = start
        for count, step in enumerate(steps or ((),), 1):
            bits, shape = self._masks.get(
                (origin, steps[:count]),
                lambda mask=mask, earlier=earlier, step=step: self._predict(mask, earlier, step),
            )
            mask = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
            earlier += step
        return mask

    def _show(self, array: Any) -> None:
        # the queue of an interrupted prediction outlives upstream's images
        self._session.new_interaction_centers, self._session.new_interaction_zoom_out_factors = (
            [],
            [],
        )
        self._session.set_image(as_float(array)[None])
        # upstream has two threads for this, in which tasks wait for each other: two images at once
        # would never finish
        self._session.preprocess_future.result()
        self._session.set_target_buffer(torch.zeros(array.shape, dtype=torch.uint8))
        self._shown = self._key

    def _predict(self, start: Any, earlier: Tuple[Prompt, ...], step: Step) -> Tuple[Any, Any]:
        session = self._session
        if self._image is not None and self._key != self._shown:
            self._show(self._image.array)
        np.random.seed(SEED)  # noqa: NPY002 - it is the generator that upstream uses
        if start is None:
            session.reset_interactions()
        else:
            # without a prompt upstream refines the mask
            session.add_initial_seg_interaction(start.astype(np.uint8), run_prediction=not step)
        for prompt in earlier if step else ():
            self._add(prompt, predict=False)
        for number, prompt in enumerate(step, 1):
            self._add(prompt, predict=number == len(step))
        mask = session.target_buffer.numpy() > 0
        return np.packbits(mask), mask.shape

    def _add(self, prompt: Prompt, *, predict: bool) -> None:
        if isinstance(prompt, Click):
            self._session.add_point_interaction(
                prompt.index, prompt.foreground, run_prediction=predict
            )
        elif isinstance(prompt, Slice):
            box = [[low, high] for low, high in zip(prompt.low, prompt.high)]
            self._session.add_bbox_interaction(box, True, run_prediction=predict)
        else:
            place = [[low, low + size] for low, size in zip(prompt.low, prompt.shape)]
            self._session.add_scribble_interaction(
                prompt.mask, prompt.foreground, run_prediction=predict, interaction_bbox=place
            )


def open_session(device: Any) -> Any:
    """Upstream's session on the weights' folder; raises WrongWeights for another folder."""
    session = nnInteractiveInferenceSession(
        device=device, torch_n_threads=os.cpu_count() or 1, do_autozoom=True, enable_undo=False
    )
    folder = weights_folder()
    if network_size() == "small":
        # oneDNN is slower than torch's own kernels on so few features
        torch.backends.mkldnn.set_flags(_enabled=False)
    try:
        session.initialize_from_trained_model_folder(str(folder))
    except MemoryError:
        raise
    except Exception as error:
        # upstream loads strictly, and names the keys that differ
        reason = "%s: %s" % (type(error).__name__, str(error)[:600])
        raise WrongWeights(
            "%s is not a folder of nnInteractive's weights: %s" % (folder, reason)
        ) from error
    return session


def as_float(array: Any) -> Any:
    """float32, (a, b, c), in C order."""
    return np.ascontiguousarray(array, dtype=np.float32)


def _hash(values: Any) -> str:
    return hashlib.blake2b(values, digest_size=16).hexdigest()
