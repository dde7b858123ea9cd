"""nibabel, imported without pydicom.

nibabel imports all of pydicom, if it is installed, to show a DICOM header inside a NIfTI file.
Nothing here reads such a header, and the import takes 0.3 s of each command.
"""

from __future__ import annotations

import sys

_without_pydicom = not {"pydicom", "nibabel"} & set(sys.modules)
if _without_pydicom:
    sys.modules["pydicom"] = None  # type: ignore[assignment]
try:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.orientations import apply_orientation, io_orientation
    from nibabel.spatialimages import HeaderDataError
finally:
    if _without_pydicom:
        del sys.modules["pydicom"]

__all__ = [
    "HeaderDataError",
    "ImageFileError",
    "apply_orientation",
    "io_orientation",
    "nibabel",
]
