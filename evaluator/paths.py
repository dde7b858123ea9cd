"""Where things lie: the project's own folders, the cache, the runs, and the users' data.

Each can be moved by an environment variable, named in its function. Nothing is created here.
"""

from __future__ import annotations

import os
from pathlib import Path


def project() -> Path:
    """The checkout that holds dockerfiles/, models/ and manifests/ (``UMD_PROJECT``)."""
    return Path(os.environ.get("UMD_PROJECT") or Path(__file__).parents[1]).resolve()


def cache() -> Path:
    """Files that can be made again: generated data, wheels, build contexts (``UMD_CACHE``, else .umd in the project)."""
    return Path(os.environ.get("UMD_CACHE") or project() / ".umd").resolve()


def runs() -> Path:
    """Folder of all runs (``UMD_RUNS``, else runs/ in the project)."""
    return Path(os.environ.get("UMD_RUNS") or project() / "runs").resolve()


def shared_data() -> Path:
    """The folder of real sample scans (``UMD_SHARED_DATA``, else ../shared/data beside the project)."""
    return Path(os.environ.get("UMD_SHARED_DATA") or project().parent / "shared" / "data").resolve()
