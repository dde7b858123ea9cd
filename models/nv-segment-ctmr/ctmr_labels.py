"""NV-Segment-CTMR's classes of the body: name -> number (configs/label_dict.json).

The first 132 are VISTA3D's (``labels.py``), with the rectum, which it was trained on. The 132 parts
of the brain (214 to 345) are left out: upstream wants a stripped head on a template for them.
"""

from __future__ import annotations

from typing import Dict, Tuple

from labels import CLASSES as OF_CT
from labels import EVERYTHING as EVERYTHING_OF_CT
from labels import SYNONYMS as SYNONYMS_OF_CT
from labels import UNIONS as UNIONS_OF_CT
from labels import spellings

_FURTHER = {
    "rectum": 18, "intervertebral discs": 134, "left lung": 135, "right lung": 136,
    "vertebrae": 146, "prostate transitional zone": 147, "prostate peripheral zone": 148,
    "left atrium": 149, "white matter hyperintensity": 150, "left ventricle": 151,
    "right ventricle": 152, "right atrium": 153, "left ventricle myocardium": 154, "muscles": 156,
    "fat": 157, "abdominal tissue": 158, "mediastinal tissue": 159, "gonads": 160,
    "uterocervix": 161, "left breast": 163, "right breast": 164, "left thyroid": 165,
    "right thyroid": 166, "thymus": 167, "skin": 168, "heart tissue": 169, "celiac trunk": 170,
    "pulmonary artery": 171, "left cheek": 172, "right cheek": 173, "left eyeball": 174,
    "right eyeball": 175, "brain tumor": 176, "chiasm": 177, "pituitary": 198, "oral cavity": 199,
    "larynx": 210, "larynx glottic": 211, "larynx supraglot": 212, "pharynxconst": 213,
}  # fmt: skip
#: left and right in turn, from these numbers on
_PAIRS = {
    178: ("temporal lobe", "eye", "lens", "optic nerve", "middle ear", "internal auditory canal",
          "tympanic cavity", "vestibular semicircular canals", "cochlea", "ethmoid bone"),
    200: ("mandible", "submandibular", "parotid", "mastoid", "temporomandibular joint"),
}  # fmt: skip


def _pairs() -> Dict[str, int]:
    numbered = {}
    for first, names in _PAIRS.items():
        for place, name in enumerate(names):
            numbered["left " + name] = first + 2 * place
            numbered["right " + name] = first + 2 * place + 1
    return numbered


CLASSES: Dict[str, int] = {**OF_CT, **_FURTHER, **_pairs()}
#: classes of a body that some MR was trained on, as label_dict.json has them
ON_MR = frozenset(
    (
        *(1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 22, 58, 59, 60, 61, 62),
        *range(87, 108),
        *(115, 118, 121, 134, 135, 136, 146, 147, 148, 149, 150, 151, 152, 154, 176),
    )
)
#: classes that no CT was trained on
ON_MR_ALONE = frozenset((134, 135, 136, 146, 147, 148, 150, 176))
#: on MR the lung was trained in halves, on CT in lobes
_LUNG_ON_MR = {
    "lung": (135, 136),
    "lungs": (135, 136),
    "left lung": (135,),
    "right lung": (136,),
}
#: what upstream computes when no class is named: its CT_BODY, and its MRI_BODY of 50
EVERYTHING_ON_MR: Tuple[int, ...] = (
    *(1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 22, 58, 59, 60, 61, 62),
    *(87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107),
    *(115, 118, 121, 134, 135, 136, 146),
)


def numbers(name: str, modality: str = "CT") -> Tuple[int, ...]:
    """The class of a name: several numbers for a union, none if it is not a class.

    Args:
        name: of an organ.
        modality: "MR", or another one, for which the classes of CT are taken.
    """
    further = {**UNIONS_OF_CT, **SYNONYMS_OF_CT, **(_LUNG_ON_MR if modality == "MR" else {})}
    for spelling in spellings(name):
        # unions first: a half of the lung is a class of its own on MR alone
        if spelling in further:
            return further[spelling]
        if spelling in CLASSES:
            return (CLASSES[spelling],)
    return ()


def everything(modality: str) -> Tuple[int, ...]:
    """The classes that upstream computes when none is named."""
    return EVERYTHING_ON_MR if modality == "MR" else EVERYTHING_OF_CT
