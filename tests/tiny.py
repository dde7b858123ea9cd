"""Small projects for tests: a copy of the checkout with test models, and small datasets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from evaluator.imaging.geometry import make_grid
from evaluator.volumes import write_volume

ROOT = Path(__file__).parents[1]
UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}

#: small grids of one world, all different: axis-aligned, flipped, oblique, permuted; anisotropic
#: and not square
GRIDS = {
    "CT": make_grid((14, 12, 10), [[2, 0, 0, -13], [0, 2.5, 0, -14], [0, 0, 3, -13], [0, 0, 0, 1]]),
    "MR": make_grid(
        (13, 11, 9),
        np.float32([[1.9, -0.9, 0.1, -9], [0.8, 2.6, 0.3, -16], [0, -0.4, 3.3, -11], [0, 0, 0, 1]]),
    ),
    "PT": make_grid((9, 8, 7), [[0, 0, -4, 12], [-3.5, 0, 0, 14], [0, 4, 0, -14], [0, 0, 0, 1]]),
}


def make_project(folder: Path, models: dict[str, str], **labels: str) -> Path:
    """A project with the real manifests, SDK and base images.

    Args:
        folder: the new project.
        models: name -> text of adapter.py.
        labels: labels of all cards that differ from the defaults.
    """
    (folder / "dockerfiles").mkdir(parents=True)
    for name in ("base.Dockerfile", "torch.Dockerfile", "base.lock"):
        shutil.copy(ROOT / "dockerfiles" / name, folder / "dockerfiles")
    shutil.copy(ROOT / ".dockerignore", folder)
    shutil.copytree(
        ROOT / "models/sdk", folder / "models/sdk", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "manifests").symlink_to(ROOT / "manifests")
    for name, text in models.items():
        add_model(folder, name, text, **labels)
    return folder


def add_model(folder: Path, name: str, text: str, **labels: str) -> None:
    """Add a model with the SDK; ``labels`` of its card replace the defaults."""
    (folder / "models" / name).mkdir()
    (folder / "models" / name / "adapter.py").write_text(text)
    card = {
        "umd.contract": "1", "umd.name": name, "umd.title": name, "umd.inputs": "CT | MR | PT",
        "umd.prompts": "point,box,mask", "umd.rounds": "many", "umd.session": "stdio",
        "umd.memory": "512MiB", "umd.timeout": "60",
    }  # fmt: skip
    card |= {f"umd.{key}": value for key, value in labels.items()}
    lines = [
        "FROM umd/base",
        f"COPY models/{name}/adapter.py /opt/model/adapter.py",
        'ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]',
        *(f'LABEL {key}="{value}"' for key, value in card.items()),
    ]
    (folder / "dockerfiles" / f"{name}.Dockerfile").write_text("\n".join(lines) + "\n")


def make_dataset(
    folder: Path, subjects: list[str], modalities=("CT", "PT"), targets=("liver",), name="tiny"
) -> Path:
    """A dataset with a ball for every target, at the same world position in all modalities.

    Returns:
        the path of the manifest.
    """
    folder.mkdir(parents=True)
    rows = ["subject\tsession\tmodality\timage\treference\tunit\tlabels"]
    for number, subject in enumerate(subjects):
        for modality in modalities:
            grid = GRIDS[modality]
            affine = np.array(grid.affine)
            index = np.indices(grid.shape).reshape(3, -1).T
            places = index @ affine[:3, :3].T + affine[:3, 3]
            labels = np.zeros(len(places), np.uint8)
            for label, _ in enumerate(targets, 1):
                centre = np.array([-4.0 + 5 * (label - 1), 1.0 + number % 3, 2.0])
                labels[((places - centre) ** 2).sum(axis=1) <= 7.0**2] = label
            image = (
                labels * 50 + np.random.default_rng(number).integers(0, 5, len(places))
            ).astype(np.int16)
            for kind, array in (("image", image), ("reference", labels)):
                write_volume(
                    folder / f"{subject}_{modality}_{kind}.nii.gz", array.reshape(grid.shape), grid
                )
            names = ";".join(f"{target}={label}" for label, target in enumerate(targets, 1))
            row = [
                subject,
                "a",
                modality,
                f"{subject}_{modality}_image.nii.gz",
                f"{subject}_{modality}_reference.nii.gz",
            ]
            rows.append("\t".join([*row, UNITS[modality], names]))
    (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    facts = {
        "name": name,
        "title": "Balls",
        "license": "CC0-1.0",
        "citation": "none",
        "reference_origin": "generated",
    }
    text = "\n".join(
        [*(f"{key} = {json.dumps(value)}" for key, value in facts.items()), "synthetic = true", ""]
    )
    (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


#: paints the voxels of the box, or a cube about each foreground point
PAINTER = """
import numpy as np
from zoo_sdk import each_target

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        def paint(target):
            mask = np.zeros(request.grid.shape, np.uint8)
            for point in target.points:
                mask[tuple(point.index)] = 1
            if target.box:
                mask[tuple(slice(a, b) for a, b in zip(target.box.low, target.box.high))] = 1
            return mask
        return each_target(request, paint)
"""
