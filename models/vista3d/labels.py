"""VISTA3D's classes: name -> number (NV-Segment-CT, configs/label_dict.json and inference.json).

Five numbers of the 132 were never trained (16, 18, 129, 130, 131) and are left out. Three stand for
several others: upstream replaces them before the network sees them, and the network has no output
for them.
"""

from __future__ import annotations

from itertools import product
from typing import Dict, Iterable, Iterator, Tuple

_ORGANS = {
    "liver": 1, "spleen": 3, "pancreas": 4, "right kidney": 5, "aorta": 6, "inferior vena cava": 7,
    "right adrenal gland": 8, "left adrenal gland": 9, "gallbladder": 10, "esophagus": 11,
    "stomach": 12, "duodenum": 13, "left kidney": 14, "bladder": 15,
    "portal vein and splenic vein": 17, "small bowel": 19, "brain": 22, "lung tumor": 23,
    "pancreatic tumor": 24, "hepatic vessel": 25, "hepatic tumor": 26, "colon cancer primaries": 27,
    "left lung upper lobe": 28, "left lung lower lobe": 29, "right lung upper lobe": 30,
    "right lung middle lobe": 31, "right lung lower lobe": 32, "trachea": 57,
    "left iliac artery": 58, "right iliac artery": 59, "left iliac vena": 60,
    "right iliac vena": 61, "colon": 62, "left atrial appendage": 108, "brachiocephalic trunk": 109,
    "left brachiocephalic vein": 110, "right brachiocephalic vein": 111,
    "left common carotid artery": 112, "right common carotid artery": 113, "costal cartilages": 114,
    "heart": 115, "left kidney cyst": 116, "right kidney cyst": 117, "prostate": 118,
    "pulmonary vein": 119, "skull": 120, "spinal cord": 121, "sternum": 122,
    "left subclavian artery": 123, "right subclavian artery": 124, "superior vena cava": 125,
    "thyroid gland": 126, "vertebrae S1": 127, "bone lesion": 128, "airway": 132,
}  # fmt: skip
_VERTEBRAE = [
    *(f"vertebrae l{n}" for n in range(5, 0, -1)),
    *(f"vertebrae t{n}" for n in range(12, 0, -1)),
    *(f"vertebrae c{n}" for n in range(7, 0, -1)),
]
_RIBS = [f"{side} rib {n}" for side, n in product(("left", "right"), range(1, 13))]
_BONES = ("humerus", "scapula", "clavicula", "femur", "hip")
_MUSCLES = ("gluteus maximus", "gluteus medius", "gluteus minimus", "autochthon", "iliopsoas")


def _numbered(names: Iterable[str], first: int) -> Dict[str, int]:
    return {name: number for number, name in enumerate(names, first)}


def _left_and_right(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"left {name}"
        yield f"right {name}"


CLASSES: Dict[str, int] = {
    **{name.lower(): number for name, number in _ORGANS.items()},
    **_numbered(_VERTEBRAE, 33),
    **_numbered(_RIBS, 63),
    **_numbered(_left_and_right(_BONES), 87),
    "sacrum": 97,
    **_numbered(_left_and_right(_MUSCLES), 98),
}

#: upstream's ``subclass``: kidney (2), lung (20), bone (21)
UNIONS: Dict[str, Tuple[int, ...]] = {
    "kidney": (14, 5),
    "lung": (28, 29, 30, 31, 32),
    "bone": (*range(33, 57), *range(63, 98), 114, 120, 122),
}
#: the classes that upstream computes when none is named (``everything_labels`` of inference.json):
#: no unions, no lesions or vessels inside other classes, no airway
EVERYTHING: Tuple[int, ...] = tuple(
    number for number in sorted(CLASSES.values()) if number not in (23, 24, 25, 26, 27, 128, 132)
)
#: other names; halves of an organ as the classes that they consist of
SYNONYMS: Dict[str, Tuple[int, ...]] = {
    "kidneys": UNIONS["kidney"],
    "lungs": UNIONS["lung"],
    "bones": UNIONS["bone"],
    "left lung": (28, 29),
    "right lung": (30, 31, 32),
    "urinary bladder": (15,),
    "oesophagus": (11,),
    "large intestine": (62,),
    "small intestine": (19,),
    "gall bladder": (10,),
    "thyroid": (126,),
}
#: lesions and vessels inside other classes: their clicks were trained with a separate embedding
SPECIAL = (23, 24, 25, 26, 27, 57, 128)


def numbers(name: str) -> Tuple[int, ...]:
    """The class of a name: several numbers for a union, none if it is not a class."""
    for spelling in spellings(name):
        if spelling in CLASSES:
            return (CLASSES[spelling],)
        if union := UNIONS.get(spelling) or SYNONYMS.get(spelling):
            return union
    return ()


def spellings(name: str) -> Iterator[str]:
    """A name in lower case, and with its side in front: ``kidney-left`` is ``left kidney``."""
    words = name.lower().replace("-", " ").replace("_", " ").split()
    yield " ".join(words)
    if words and words[-1] in ("left", "right"):
        yield " ".join([words[-1], *words[:-1]])
