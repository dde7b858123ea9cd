"""Units of length in the headers of volumes, as millimetres.

NIfTI has ``xyzt_units``, NRRD ``space units`` and ``units``, MetaImage ``DistanceUnits``. ITK
converts NIfTI's alone, and nibabel none, so a file in micrometres is read as millimetres there.
"""

from __future__ import annotations

from evaluator.errors import VolumeError

_MM = {"m": 1000.0, "dm": 100.0, "cm": 10.0, "mm": 1.0, "um": 1e-3, "nm": 1e-6}
_NAMES = {
    "metre": "m",
    "decimetre": "dm",
    "centimetre": "cm",
    "millimetre": "mm",
    "micrometre": "um",
    "nanometre": "nm",
    "micron": "um",
}
_UNKNOWN = ("", "?", "???", "unknown")
#: values of NIfTI's ``xyzt_units``, its lowest three bits
_NIFTI = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
_NIFTI_MASK = 7


def length_mm(unit: str) -> float:
    """The length of a unit in millimetres.

    Args:
        unit: as a header writes it; a unit that is not stated is taken to be millimetres.

    Raises:
        VolumeError: the unit is not a length.
    """
    name = unit.strip().strip('"').strip().lower().replace("µ", "u").replace("μ", "u")
    if name in _UNKNOWN:
        return 1.0
    singular = name.removesuffix("s") if len(name) > 2 else name
    singular = singular.removesuffix("meter") + "metre" if singular.endswith("meter") else singular
    symbol = _NAMES.get(singular, name)
    if symbol not in _MM:
        raise VolumeError(
            f"the header states the unit of space {unit!r}; mm, um, cm and m are read"
        )
    return _MM[symbol]


def nifti_length_mm(xyzt_units: int) -> float:
    """The length of a unit of space of a NIfTI header in millimetres; raises VolumeError."""
    code = int(xyzt_units) & _NIFTI_MASK
    if code not in _NIFTI:
        raise VolumeError(
            f"the header states an unknown unit of space (xyzt_units {xyzt_units}); "
            "metres, millimetres and micrometres are read"
        )
    return _NIFTI[code]
