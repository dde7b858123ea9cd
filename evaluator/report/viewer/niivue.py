"""NiiVue, the viewer in the browser: a pinned npm package that is placed into a built report."""

from __future__ import annotations

import io
import logging
import tarfile
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.report.viewer.npm import Package, PackageUnavailableError, fetch

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

PACKAGE = Package(
    name="@niivue/niivue",
    version="0.69.0",
    sha256="6e9a6a471b428eb3b258a0086beca9187d95e43a781a39e8a519c6da246af485",
)
#: the build that is a classic script: a page opened from a file share may load no module
SCRIPT = "package/dist/niivue.umd.js"

LICENSE = f"""NiiVue {PACKAGE.version} (https://github.com/niivue/niivue), BSD 2-Clause License
Copyright (c) 2021, Niivue. All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted
provided that the following conditions are met:
1. Redistributions of source code must retain the above copyright notice, this list of conditions
   and the following disclaimer.
2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions
   and the following disclaimer in the documentation and/or other materials provided with the
   distribution.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR
IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR
CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER
IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF
THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

The script also holds, under the MIT licence: array-equal, fflate, gl-matrix, nifti-reader-js,
@lukeed/uuid, zarrita; under the ISC licence: @ungap/structured-clone.
"""


def niivue_script(file: Path | None) -> bytes | None:
    """NiiVue as one classic script; None, with a message, if the package is not available.

    ``file`` is a copy of the package's tarball for machines without a network; raises UserError if
    it is another one.
    """
    if file is not None:
        return _script(_from_file(file))
    try:
        return _script(fetch(PACKAGE))
    except PackageUnavailableError as error:
        logger.info(
            f"the report has no interactive viewer, only snapshots: {PACKAGE.spec} is not "
            f"available ({error}). On a machine with a network: npm pack {PACKAGE.spec}; then give "
            f"--niivue {PACKAGE.tarball}"
        )
        return None


def _from_file(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"--niivue {file}: cannot be read ({error.strerror})") from None
    if not PACKAGE.is_it(content):
        raise UserError(
            f"--niivue {file} is not the pinned package; make it with: npm pack {PACKAGE.spec} "
            f"(sha256 {PACKAGE.sha256})"
        )
    return content


def _script(tarball: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tarball)) as package:
        member = package.extractfile(SCRIPT)
        assert member is not None
        return member.read()
