"""Folders: the project, the cache, the runs and sample data.

An environment variable, named in each function, replaces the default. No folder is created here.
"""

from __future__ import annotations

import os
from pathlib import Path


def project() -> Path:
    """The checkout with dockerfiles/, models/ and manifests/ (``UMD_PROJECT``)."""
    return Path(os.environ.get("UMD_PROJECT") or Path(__file__).parents[1]).resolve()


def cache() -> Path:
    """Files that can be recreated: generated data, wheels, build contexts.

    ``UMD_CACHE``, else .umd in the project.
    """
    return Path(os.environ.get("UMD_CACHE") or project() / ".umd").resolve()


def runs() -> Path:
    """The folder of all runs (``UMD_RUNS``, else runs/ in the project)."""
    return Path(os.environ.get("UMD_RUNS") or project() / "runs").resolve()


def user_models() -> Path:
    """The user's models, outside the checkout.

    ``UMD_MODELS``, else umd/models in the user's configuration folder, else models/ in the cache,
    for a user without a home.
    """
    if chosen := os.environ.get("UMD_MODELS"):
        return Path(chosen).absolute()
    try:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    except RuntimeError:
        return cache() / "models"
    return config.absolute() / "umd" / "models"


def shared_data() -> Path:
    """The folder of real sample scans.

    ``UMD_SHARED_DATA``, else ../shared/data beside the project.
    """
    default = project().parent / "shared" / "data"
    return Path(os.environ.get("UMD_SHARED_DATA") or default).resolve()
