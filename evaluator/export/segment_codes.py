"""SNOMED CT codes of targets, for the segments of a DICOM-SEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evaluator.manifests.organs import load_organs, plain_name

#: words of a target's name -> attribute of pydicom's SNOMED CT codes
_CODES = {
    "liver": "Liver",
    "spleen": "Spleen",
    "kidney": "Kidney",
    "pancreas": "Pancreas",
    "aorta": "Aorta",
    "heart": "Heart",
    "brain": "Brain",
    "lung": "Lung",
    "stomach": "Stomach",
    "bladder": "Bladder",
    "colon": "Colon",
    "esophagus": "Esophagus",
    "prostate": "Prostate",
    "gallbladder": "Gallbladder",
    "duodenum": "Duodenum",
    "thyroid": "Thyroid",
    "trachea": "Trachea",
    "rectum": "Rectum",
}
_LESIONS = ("lesion", "tumor", "tumour", "metastasis", "gtv")
#: SNOMED CT: Left, Right
_SIDES = {"left": ("7771000", "Left"), "right": ("24028007", "Right")}


@dataclass(frozen=True, slots=True)
class PropertyType:
    """The code of a structure, and of its side."""

    code: Any
    laterality: Any = None


def property_codes(target: str) -> tuple[Any, PropertyType]:
    """The category and the type of a target.

    A target that is neither an organ of the table nor a lesion is a tissue; its name is the
    segment's label in any case.
    """
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    organs = load_organs()
    words = plain_name(organs.find(target) or target).split("-")
    sides = [Code(code, "SCT", text) for word, (code, text) in _SIDES.items() if word in words]
    for word in words:
        if word in _CODES:
            code = getattr(codes.SCT, _CODES[word])
            side = sides[0] if sides else None
            return codes.SCT.AnatomicalStructure, PropertyType(code, side)
        if word in _LESIONS:
            lesion = PropertyType(codes.SCT.Lesion)
            return codes.SCT.MorphologicallyAbnormalStructure, lesion
    return codes.SCT.Tissue, PropertyType(codes.SCT.Tissue)
