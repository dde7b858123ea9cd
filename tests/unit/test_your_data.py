"""docs/your-data.md is followed literally, on small folders of each kind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from evaluator.volumes import read_image, read_labels, write_volume
from tests.dicom_studies import save_petct
from tests.tiny import make_dataset

PAGE = Path(__file__).parents[2] / "docs" / "your-data.md"
WORDS = {"CT": "CT", "PT": "PET"}


def make_folders(folder):
    """The folders that the page names, from one small dataset."""
    data = folder / "tiny"
    make_dataset(data, ["P01", "P02"], ("CT", "PT"), ("liver", "spleen"))
    for image in data.glob("*_image.nii.gz"):
        subject, modality, _ = image.name.split("_")
        reference = image.with_name(image.name.replace("_image", "_reference"))
        labels, grid = read_labels(reference)
        place = folder / "petct" / subject
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, place / f"{WORDS[modality]}.nii.gz")
        for value, target in enumerate(("liver", "spleen"), 1):
            mask = (labels == value).astype(np.uint8)
            write_volume(place / f"{WORDS[modality]}-{target}.nii.gz", mask, grid)
        kind = {"CT": "ct", "PT": "pet"}[modality]
        for place, source, name in (
            (folder / "bids", image, f"sub-{subject}_{kind}.nii.gz"),
            (folder / "bids/derivatives/me", reference, f"sub-{subject}_dseg.nii.gz"),
        ):
            (place / f"sub-{subject}" / kind).mkdir(parents=True)
            shutil.copy(source, place / f"sub-{subject}" / kind / name)
        if modality == "CT":
            root = folder / "Dataset001_petct"
            for name in ("imagesTr", "labelsTr"):
                (root / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, root / "imagesTr" / f"{subject}_0000.nii.gz")
            voxels, grid = read_image(image)
            write_volume(root / "imagesTr" / f"{subject}_0001.nii.gz", voxels / 10, grid)
            shutil.copy(reference, root / "labelsTr" / f"{subject}.nii.gz")
    (folder / "bids/derivatives/me/dseg.tsv").write_text("index\tname\n1\tliver\n2\tspleen\n")
    body = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"liver": 1, "spleen": 2}}
    (folder / "Dataset001_petct/dataset.json").write_text(json.dumps(body))
    for subject in ("P01", "P02"):
        save_petct(folder / "hospital", subject, name=f"patient {subject}")


def test_the_page_can_be_followed(tmp_path):
    make_folders(tmp_path)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    outputs = []
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for line in "".join(blocks).splitlines():
        done = subprocess.run(
            shlex.split(line.removeprefix("$ ")),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        # verify ends with 1 for warnings: these images are too small to look like a body
        accepted = (0, 1) if "verify" in line else (0,)
        assert done.returncode in accepted, (line, done.stdout, done.stderr)
        outputs.append((line, done.stdout + done.stderr))
    assert sum("2 sessions with CT+PT" in output for _, output in outputs) == 5
    assert "0 rows added, 8 were there" in outputs[-1][1]
    run = next(output for line, output in outputs if line.startswith("$ umd run"))
    assert "Predictions: 8 ok." in run
