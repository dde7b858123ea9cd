"""Peak GPU memory of a request, if the model uses torch; this module never imports torch."""

from __future__ import annotations

import sys
from typing import Any


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
