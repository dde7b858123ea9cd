"""The models whose adapters are tested, each with its pipeline and its ideal network.

A model is added here by one entry; ``tests/zoo/test_ideal.py`` then asks of it what it asks of all.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest

from evaluator.zoo.dockerfiles import module_folders
from tests.tiny import ROOT
from tests.zoo.bodies import GRIDS, ORGANS, Body
from zoo_sdk import Volume


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One adapter."""

    #: the models' names, whose images share the adapter
    images: tuple[str, ...]
    #: folder under models/ with pipeline.py
    folder: str
    #: the network that answers from the reference
    ideal: Callable[[Body], Any]
    #: options under which organs larger than the network's patch come back whole
    large_options: dict[str, str] = field(default_factory=dict)
    #: why make test-zoo does not ask for the volume of 512 x 512 x 400; empty where it does
    no_huge: str = ""
    #: does the default show an organ as a whole however large it is
    large_by_default: bool = True
    modalities: tuple[str, ...] = ("CT", "MR", "PT")
    #: grids of the tests; fewer where the steps are those of another model
    grids: tuple[str, ...] = tuple(GRIDS)
    #: organs of the test body that a model without a list of targets does not have
    lacks: tuple[str, ...] = ()
    #: constants of the pipeline that are changed for speed
    constants: dict[str, Any] = field(default_factory=dict)
    #: organ of the test body -> the model's target that it stands for, where the body has none
    stands_for: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.images[0]

    @property
    def pipeline(self) -> ModuleType:
        module = load(self.folder, "pipeline")
        vars(module).update(self.constants)
        return module


def places_of(folder: str) -> list[Path]:
    """The folders whose modules lie beside the adapter in the image, the model's own first."""
    text = Path(ROOT, "dockerfiles", f"{folder}.Dockerfile").read_text()
    names = dict.fromkeys([folder, *module_folders(text)])
    return [Path(ROOT, "models", name) for name in names]


def load(folder: str, module: str) -> ModuleType:
    """A module of a model, under a name of its own; it may import those beside it."""
    name = f"zoo_{folder.replace('-', '_')}_{module}"
    if name not in sys.modules:
        places = places_of(folder)
        spec = importlib.util.spec_from_file_location(name, places[0] / f"{module}.py")
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        sys.path[:0] = map(str, places)
        try:
            spec.loader.exec_module(sys.modules[name])
        finally:
            del sys.path[: len(places)]
            # another model has modules of these names, too
            files = chain.from_iterable(place.glob("*.py") for place in places)
            for beside in {path.stem for path in files} & set(sys.modules):
                del sys.modules[beside]
    return sys.modules[name]


class IdealSam:
    """SAM's three steps, answered from the reference: the organ at the first foreground click."""

    def __init__(self, body: Body) -> None:
        self.body, self.embedded, self.decoded = body, 0, []

    def embed(self, crop):
        assert crop.array.shape == (128, 128, 128)
        assert crop.array.dtype == np.float32
        assert nibabel.aff2axcodes(crop.affine) == ("R", "A", "S")
        assert np.allclose(crop.spacing, 1.5)
        # what is brighter is cut in a CT
        self.body.shows(crop, at_most=1000 if self.body.modality == "CT" else np.inf)
        self.embedded += 1
        return crop

    def decode(self, embedding, clicks, previous):
        self.decoded.append((clicks, previous is not None))
        index = next(index for index, foreground in clicks if foreground)
        label = self.body.label_at((embedding.affine @ [*index, 1])[:3])
        return (self.body.labels_in(embedding) == label) & (label > 0)

    def mask(self, low):
        return low


class IdealSat:
    """Answers each patch from the reference: the organ of the query."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def query(self, words, modality):
        assert modality == {"CT": "ct", "MR": "mri", "PT": "pet"}[self.body.modality]
        return {"tumor": "lesion", "left kidney": "kidney-left"}.get(words, words)

    def features(self, patch):
        assert patch.array.shape == (288, 288, 96)
        assert patch.array.dtype == np.float32
        assert nibabel.aff2axcodes(patch.affine) == ("R", "A", "S")
        assert np.allclose(patch.spacing, (1, 1, 3))
        self.body.shows(patch, 1000 if self.body.modality == "CT" else np.inf)
        return self.body.labels_in(patch)

    def probabilities(self, features, query):
        return (features == list(ORGANS).index(query) + 1).astype(np.float32)


class IdealVoxTell:
    """Answers each patch from the reference: the organ of the query."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def embedding(self, text):
        return text if text in ORGANS else None

    def features(self, patch):
        assert patch.array.shape == (192, 192, 192)
        assert patch.array.dtype == np.float32
        assert nibabel.aff2axcodes(patch.affine) == ("S", "A", "R")
        self.body.shows(patch)
        return self.body.labels_in(patch)

    def logits(self, features, embedding):
        return np.where(
            features == list(ORGANS).index(embedding) + 1, np.float32(3), np.float32(-3)
        )


class IdealCtFm:
    """Answers each window from the reference, with a channel for each class.

    The lung's slices are distributed over its five lobes.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        organs = load("ct-fm", "pipeline").ORGANS
        self.organs = {organ: organs[organ] for organ in ORGANS if organ in organs}
        self.classes = ["background", *chain.from_iterable(self.organs.values())]

    def logits(self, patch):
        assert patch.array.shape == (96, 160, 160)
        assert 0 <= patch.array.min() < patch.array.max() <= 1
        assert nibabel.aff2axcodes(patch.affine) == ("S", "P", "L")
        self.body.shows(patch)
        labels = self.body.labels_in(patch)
        channels = np.zeros((len(self.classes), *labels.shape), np.float32)
        channels[0] = 1
        for organ, names in self.organs.items():
            for place, name in enumerate(names):
                channels[self.classes.index(name), place :: len(names)] = 3 * (
                    labels[place :: len(names)] == self.body.label_of(organ)
                )
        return channels

    @staticmethod
    def like_logits(array):
        return array

    as_array = like_logits


class IdealSession:
    """nnInteractive's session, answered from the reference: the organ at the last prompt."""

    def __init__(self, body: Body) -> None:
        self.body, self.calls = body, []

    def segment(self, image, start, earlier, steps, *, autozoom):
        self.body.shows(image)
        self.calls.append((image, start, earlier, steps, autozoom))
        prompts = [p for p in chain.from_iterable(steps) if getattr(p, "foreground", True)]
        label = self.body.label_at((image.affine @ [*middle_of(prompts[-1]), 1])[:3])
        return (self.body.labels_in(image) == label) & (label > 0)


def middle_of(prompt):
    """The middle of a click, a box or a scribble, in voxels."""
    if hasattr(prompt, "index"):
        return prompt.index
    high = prompt.high if hasattr(prompt, "high") else np.add(prompt.low, prompt.shape)
    return (np.array(prompt.low) + np.array(high) - 1) / 2


class IdealVista3d:
    """VISTA3D's two branches, answered from the reference, whose lung is divided into lobes."""

    def __init__(self, body: Body) -> None:
        self.body, self.calls, self.clicked = body, [], []
        self.names = {"liver": 1, "spleen": 3, "pancreas": 4, "aorta": 6, "kidney-left": 14}

    def look(self, patch) -> np.ndarray:
        assert patch.array.shape == (128, 128, 128)
        assert patch.array.dtype == np.float32
        assert 0 <= patch.array.min() < patch.array.max() <= 1
        assert nibabel.aff2axcodes(patch.affine) == ("R", "A", "S")
        assert np.allclose(patch.spacing, 1.5)
        # what is brighter than the window is cut
        self.body.shows(patch, at_most=1053.7 if self.body.modality == "CT" else np.inf)
        return self.body.labels_in(patch)

    def classes(self, patch, ids):
        labels = self.look(patch)
        self.calls.append(tuple(ids))
        organs = {number: self.body.label_of(organ) for organ, number in self.names.items()}
        i, j, k = np.indices(patch.array.shape, sparse=True)
        a, b, c, z = patch.affine[2]
        lobe = 28 + np.clip((a * i + b * j + c * k + z + 110) // 52, 0, 4)
        lung = np.where(labels == self.body.label_of("lung"), lobe, 0)
        masks = [lung == n if 28 <= n <= 32 else labels == organs.get(n, -1) for n in ids]
        return [np.where(mask, np.float32(3), np.float32(-3)) for mask in masks]

    def clicks(self, patch, clicks, is_class, before):
        labels = self.look(patch)
        self.clicked.append((clicks, is_class, before is not None))
        index = next((place for place, kind in clicks if kind % 2), None)
        label = 0 if index is None else self.body.label_at((patch.affine @ [*index, 1])[:3])
        logits = np.where((labels == label) & (label > 0), 2, -2).astype(np.float32)
        return logits if before is None else np.maximum(logits, before)


class IdealCtmr(IdealVista3d):
    """NV-Segment-CTMR's branch: larger windows, percentiles, the lung in lobes or in halves."""

    def look(self, patch) -> np.ndarray:
        assert patch.array.shape == (192, 192, 128)
        assert patch.array.dtype == np.float32
        assert 0 <= patch.array.min() < patch.array.max() <= 1
        assert nibabel.aff2axcodes(patch.affine) == ("R", "A", "S")
        assert np.allclose(patch.spacing, 1.5)
        self.body.shows(patch)
        return self.body.labels_in(patch)

    def classes(self, patch, ids):
        assert self.body.modality == "MR" or not {135, 136} & set(ids)
        if self.body.modality != "MR":
            return super().classes(patch, ids)
        assert not set(range(28, 33)) & set(ids)
        halves = {135: (28, 29), 136: (30, 31, 32)}
        with_lobes = list(chain.from_iterable(halves.get(n, (n,)) for n in ids))
        logits = dict(zip(with_lobes, super().classes(patch, with_lobes), strict=True))
        merged = {n: np.max([logits[m] for m in halves.get(n, (n,))], axis=0) for n in ids}
        return [merged[n] for n in ids]


class IdealSegVol:
    """SegVol on one view, answered from the reference; all prompts must mean the same organ."""

    def __init__(self, body: Body) -> None:
        self.body, self.calls, self.seen = body, [], {}

    def embed(self, view):
        place = view.affine.tobytes()
        if place not in self.seen:
            assert view.array.shape == (32, 256, 256)
            assert view.array.dtype == np.float32
            assert 0 <= view.array.min() < view.array.max() <= 1
            assert nibabel.aff2axcodes(view.affine) == ("S", "A", "R")
            # as published, what is darker than the mean is cut, and a region that is a voxel too
            # small for a view is padded
            self.body.shows(view, hidden=0)
            self.seen[place] = self.body.labels_in(view)
        return view, self.seen[place]

    def decode(self, embedding, prompt):
        view, labels = embedding
        self.calls.append(prompt)
        meant = set() if prompt.text is None else {self.body.label_of(prompt.text)}
        meant |= {
            self.body.label_at((view.affine @ [*voxel, 1])[:3])
            for voxel, kind in prompt.clicks
            if kind == 1
        }
        if not meant and prompt.box and prompt.box[0] >= 0:
            low, high = np.array(prompt.box[:3]), np.array(prompt.box[3:])
            assert (low >= 0).all() and (low <= high).all() and (high < view.array.shape).all()
            meant = {self.body.label_at((view.affine @ [*(low + high) / 2, 1])[:3])}
        assert len(meant) <= 1
        return np.where(
            (labels > 0) & (labels == max(meant, default=0)), np.float32(4), np.float32(-4)
        )


class IdealNnUNet:
    """Answers each volume from the reference; its labels are named differently from the targets."""

    def __init__(self, body: Body) -> None:
        self.body, self.about = body, {}
        self.orientation = "ras" if body.modality == "PT" else "stored"
        # the lung in two halves
        names = (
            "lung_left",
            "aorta",
            "Liver",
            "kidney_l",
            "spleen",
            "pancreas",
            "lesion",
            "lung_right",
        )
        self.labels = {name: (value,) for value, name in enumerate(names, 1)}

    def model(self, modality):
        assert modality == self.body.modality
        return self

    def label_map(self, image, *, mirroring, folds):
        assert (mirroring, folds) == (True, None)
        assert image.array.dtype == np.float32
        if self.orientation == "ras":
            assert nibabel.aff2axcodes(image.affine) == ("S", "A", "R")
        assert sorted(image.array.shape) == sorted(self.body.grid.shape)
        self.body.shows(image)
        labels_in_image = self.body.labels_in(image)
        odd = np.indices(labels_in_image.shape).sum(axis=0) % 2 == 1
        return np.where((labels_in_image == 1) & odd, 8, labels_in_image)


class IdealTotalSegmentator:
    """Answers each part from the reference: the lung in lobes, the aorta as a separate part."""

    def __init__(self, body: Body) -> None:
        self.body = body
        lobes = ("lung_upper_lobe_left", "lung_lower_lobe_right")
        self.labels = {name: (value,) for value, name in enumerate(lobes, 11)}
        self.labels |= {
            organ.replace("-", "_"): (value,)
            for value, organ in enumerate(ORGANS, 20)
            if organ != "lung"
        }
        others = {value: 19 + value for value in range(3, len(ORGANS) + 1)}
        self.parts = {"organs": {1: 11, 2: 12, **others}, "ribs": {1: 99}, "vessels": {1: 21}}

    def task(self, modality):
        assert modality == self.body.modality
        return self

    def label_map(self, part, image):
        assert image.array.dtype == np.float32
        assert (image.array == np.trunc(image.array)).all()
        assert nibabel.aff2axcodes(image.affine) == ("S", "A", "R")
        assert np.allclose(image.spacing, 1.5, atol=0.03)
        self.body.shows(image)
        labels_in_image = self.body.labels_in(image)
        if part == "vessels":
            return (labels_in_image == 2).astype(np.uint8)
        if part == "ribs":
            return np.zeros_like(labels_in_image)
        odd = np.indices(labels_in_image.shape).sum(axis=0) % 2 == 1
        # where the other part finds the aorta this one sees liver
        return np.where(
            (labels_in_image == 1) & odd, 2, np.where(labels_in_image == 2, 3, labels_in_image)
        )


class IdealMRSegmentator:
    """Answers each volume from the reference."""

    def __init__(self, body: Body) -> None:
        self.body = body
        names = (
            "left_lung",
            "aorta",
            "liver",
            "left_kidney",
            "spleen",
            "pancreas",
            "lesion",
            "right_lung",
        )
        self.labels = {name: (value,) for value, name in enumerate(names, 1)}

    def label_map(self, image, *, fast):
        assert not fast
        assert image.array.dtype == np.float32
        assert nibabel.aff2axcodes(image.affine) == ("S", "P", "L")
        self.body.shows(image)
        labels_in_image = self.body.labels_in(image)
        odd = np.indices(labels_in_image.shape).sum(axis=0) % 2 == 1
        return np.where((labels_in_image == 1) & odd, 8, labels_in_image)


class IdealLion:
    """Answers the respaced PET from the reference, as the label of the tracer's lesions."""

    spacing = (3.0, 3.0, 3.0)

    def __init__(self, body: Body) -> None:
        self.body = body

    def model(self, tracer):
        assert tracer == "fdg"
        return self

    def label_map(self, image):
        assert image.array.dtype == np.float32
        assert nibabel.aff2axcodes(image.affine) == ("S", "A", "L")
        assert np.allclose(image.spacing, 3)
        self.body.shows(image, hidden=0)
        return np.where(self.body.labels_in(image) == self.body.label_of("lesion"), 11, 3)


class IdealMoose:
    """Answers each model's view from the reference, under the labels of the package's README.

    The other labels of a model lie where the body has organs of other models.
    """

    spacing = (3.0, 2.0, 2.0)

    def __init__(self, body: Body) -> None:
        self.body, self.models = body, []
        self.organs = load("moose", "pipeline").ORGANS

    def model(self, name):
        self.models.append(name)
        return self

    def label_map(self, image):
        assert image.array.dtype == np.float32
        assert nibabel.aff2axcodes(image.affine) == ("S", "A", "R")
        assert np.allclose(image.spacing, self.spacing)
        self.body.shows(image, hidden=0)
        organs = self.body.labels_in(image)
        odd = np.indices(organs.shape).sum(axis=0) % 2
        labels = np.zeros_like(organs)
        for organ, (model, values) in self.organs.items():
            if model == self.models[-1] and organ in ORGANS:
                inside = organs == self.body.label_of(organ)
                # an organ of several labels is dealt out to the first and the last of them
                labels[inside] = np.where(odd, values[0], values[-1])[inside]
        return labels


class IdealVibe:
    """Answers the padded view from the reference, under the labels of upstream's README."""

    orientation = "RAS"
    spacing = (3.0, 2.0, 2.5)

    def __init__(self, body: Body) -> None:
        self.body = body
        self.organs = load("vibesegmentator", "pipeline").ORGANS

    def label_map(self, image):
        assert image.array.dtype == np.float32
        assert np.array_equal(image.array, image.array.astype(np.float16))
        assert nibabel.aff2axcodes(image.affine) == ("S", "A", "R")
        assert np.allclose(image.spacing, self.spacing)
        margin = np.diag([1.0, 1, 1, 1])
        margin[:3, 3] = 5
        self.body.shows(Volume(image.array[5:-5, 5:-5, 5:-5], image.affine @ margin))
        organs = self.body.labels_in(image)
        odd = np.indices(organs.shape).sum(axis=0) % 2
        # intestine, where the body has a lesion
        labels = np.where(organs == self.body.label_of("lesion"), 18, 0)
        for organ in set(ORGANS) & set(self.organs):
            values, inside = self.organs[organ], organs == self.body.label_of(organ)
            # the lung is dealt out to two of its lobes
            labels[inside] = np.where(odd, values[0], values[-1])[inside]
        return labels


class IdealDeepBet:
    """Answers the complete image and the box from the reference, whose liver stands for a brain."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def locate(self, head):
        assert head.array.shape == (128, 128, 128)
        return self._probability(head)

    def segment(self, box):
        assert box.array.shape == (256, 256, 256)
        return self._probability(box)

    def _probability(self, volume):
        assert volume.array.dtype == np.float32
        assert np.sign(np.diag(volume.affine)[:3]).min() >= 0
        self.body.shows(volume)
        return (self.body.labels_in(volume) == self.body.label_of("liver")).astype(np.float32)


class IdealMindGrab:
    """Answers the box from the reference, whose liver stands for a brain."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def is_brain(self, head):
        edges = np.array(head.array.shape) * head.spacing
        assert edges == pytest.approx([256, 256, 256])
        assert head.array.dtype == np.float32
        assert head.array.min() == 0
        assert 0.99 < head.array.max() <= 1
        assert nibabel.aff2axcodes(head.affine) == ("L", "I", "A")
        # zero is what is darker than the second percentile, and what lies outside of the image
        self.body.shows(head, hidden=0)
        return self.body.labels_in(head) == self.body.label_of("liver")


#: nnU-Net holds every class's logits on the image's own voxels
LOGITS = "up to 17 GB of logits, and ten minutes of a CPU"
MODELS = (
    Registered(images=("segvol",), folder="segvol", ideal=IdealSegVol),
    Registered(
        images=("vista3d",),
        folder="vista3d",
        ideal=IdealVista3d,
        large_options={"large": "sliding"},
        large_by_default=False,
    ),
    Registered(
        images=("nv-segment-ctmr",),
        folder="nv-segment-ctmr",
        ideal=IdealCtmr,
        grids=("LPS CT", "oblique MR", "oblique PET"),
        lacks=("lesion",),
    ),
    Registered(
        images=("sam-med3d", "seganypet-v1", "seganypet-v2", "seganypet-lesion"),
        folder="sam-med3d",
        ideal=IdealSam,
        large_options={"large": "sliding"},
        large_by_default=False,
    ),
    Registered(images=("sat-nano", "sat-pro"), folder="sat-nano", ideal=IdealSat),
    Registered(images=("voxtell",), folder="voxtell", ideal=IdealVoxTell),
    Registered(
        images=("ct-fm",),
        folder="ct-fm",
        ideal=IdealCtFm,
        modalities=("CT",),
        no_huge="ten minutes of a CPU",
    ),
    Registered(images=("nninteractive",), folder="nninteractive", ideal=IdealSession),
    Registered(images=("nnunet",), folder="nnunet", ideal=IdealNnUNet, no_huge=LOGITS),
    Registered(
        images=("totalsegmentator",),
        folder="totalsegmentator",
        ideal=IdealTotalSegmentator,
        modalities=("CT", "MR"),
        no_huge=LOGITS,
    ),
    Registered(
        images=("lion",), folder="lion", ideal=IdealLion, modalities=("PT",), no_huge=LOGITS
    ),
    Registered(
        images=("moose",),
        folder="moose",
        ideal=IdealMoose,
        modalities=("CT",),
        grids=("LPS CT", "oblique LPI CT", "anisotropic CT"),
        no_huge=LOGITS,
    ),
    Registered(
        images=("vibesegmentator",),
        folder="vibesegmentator",
        ideal=IdealVibe,
        modalities=("CT", "MR"),
        grids=("LPS CT", "PIR MR", "oblique MR"),
        no_huge=LOGITS,
    ),
    Registered(
        images=("deepbet",),
        folder="deepbet",
        ideal=IdealDeepBet,
        modalities=("MR",),
        stands_for={"liver": "brain"},
    ),
    Registered(
        images=("mindgrab",),
        folder="mindgrab",
        ideal=IdealMindGrab,
        grids=("oblique LPI CT", "PIR MR", "oblique PET"),
        stands_for={"liver": "brain"},
        # an eighth of the voxels; test_mindgrab.py asserts the published size
        constants={"EDGE": 128, "SIZE": 2.0},
        no_huge="seven minutes of a CPU",
    ),
    Registered(
        images=("mrsegmentator",),
        folder="mrsegmentator",
        ideal=IdealMRSegmentator,
        modalities=("CT", "MR"),
        no_huge=LOGITS,
    ),
)
