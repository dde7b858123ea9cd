"""The GPU that the engine handed over, and the peak memory of a request.

This module never imports torch; it looks at torch if the model has imported it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

#: the engine sets this variable to the UUID of the GPU that the container may use
GIVEN = "UMD_GPU"
#: kind of the error in a session's first line
UNUSABLE = "gpu-unusable"


class UnusableGpu(RuntimeError):
    """The engine handed a GPU over, and torch cannot use it; the message has the reason."""


def require_usable() -> None:
    """Raise UnusableGpu if the engine handed a GPU over that torch, once imported, cannot use.

    Without this a model would go on on the CPU for hours and end as ``timeout``.
    """
    uuid, torch = os.environ.get(GIVEN, ""), sys.modules.get("torch")
    if uuid and torch is not None and not torch.cuda.is_available():
        raise UnusableGpu(
            "the engine handed over GPU %s, and torch %s cannot use it: %s. To compute on the CPU, "
            "run with --gpus none" % (uuid, torch.__version__, _reason(torch))
        )


def _reason(torch: Any) -> str:
    """Why torch has no CUDA device: its build, the driver, the toolkit, or the device."""
    if torch.version.cuda is None:
        return "it is built for the CPU; build the image with --flavour cuda"
    try:
        torch.cuda.init()
    except Exception as error:
        text = " ".join(str(error).split())
        if "driver" in text and "too old" in text:
            return (
                "the driver is too old for CUDA %s (%s). Install a newer driver; or let "
                "UMD_TORCH_INDEX name an index with torch for an older CUDA, and build again"
                % (torch.version.cuda, text[:200])
            )
        if "no NVIDIA driver" in text or "NVIDIA driver on your system" in text:
            return (
                "the container sees no driver (%s); install the NVIDIA container toolkit and "
                "restart the engine" % text[:200]
            )
        return text[:300]
    return (
        "CUDA %s starts and shows no device; a MIG slice needs its own UUID, and the toolkit must "
        "pass the device on" % torch.version.cuda
    )


def describe() -> dict[str, str]:
    """Name and UUID of the GPU that torch uses; empty without torch or a GPU handed over."""
    torch = sys.modules.get("torch")
    if not os.environ.get(GIVEN, "") or torch is None or not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    uuid = getattr(properties, "uuid", "")  # torch 2.5 and later
    return {"name": str(properties.name), "uuid": str(uuid)}


def forget_peak() -> None:
    """Start counting anew."""
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def peak() -> int | None:
    """Most bytes that torch held on the current GPU since ``forget_peak``; None without either."""
    cuda = _cuda()
    return None if cuda is None else int(cuda.max_memory_allocated())


def release() -> None:
    """Release cached memory after a failure, for the next request."""
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None
