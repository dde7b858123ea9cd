"""Compare a run under contract cvpr25 with the challenge's script, on the same image and cases.

    python benchmarks/cvpr25_script.py SCRIPT_FOLDER PYTHON [DATASET]

SCRIPT_FOLDER is a checkout of JunMa11/CVPR-MedSegFMCompetition at 748e862; PYTHON is an interpreter
with numpy 1.26, scipy 1.12, pandas, connected-components-3d, tqdm and scikit-image. The script asks
torch only whether there is a GPU, so an empty stand-in serves. The image paints the box and a ball
about each click, after a load of three seconds. Boxes are compared with those that the challenge's
function can draw, clicks with those that its script prints, and masks, Dice, NSD and areas of all
rounds. The seconds of both are printed: a container for each request, and one for a round.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from evaluator import paths
from evaluator.challenges.cvpr25 import challenge_totals
from evaluator.containers.contracts.cvpr25 import closed_box
from evaluator.datasets import load_dataset
from evaluator.datasets.references import load_references
from evaluator.evaluation.run import run_model
from evaluator.evaluation.run_config import RunConfig
from evaluator.imaging.geometry import spacing
from evaluator.imaging.intensities import scale_to_uint8
from evaluator.runs.store import RunStore
from evaluator.runs.tables import read_scores
from evaluator.types import Case, Modality
from evaluator.volumes import read_image
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.registered_images import add_image

PREDICT = """
import glob, os, time
import numpy as np
time.sleep(3)
for path in sorted(glob.glob("inputs/*.npz")):
    case = np.load(path, allow_pickle=True)
    segs = np.zeros(case["imgs"].shape, np.uint8)
    places = np.indices(segs.shape, sparse=True)
    for label, box in enumerate(case["boxes"], 1):
        segs[
            box["z_min"] : box["z_max"] + 1,
            box["z_mid_y_min"] : box["z_mid_y_max"] + 1,
            box["z_mid_x_min"] : box["z_mid_x_max"] + 1,
        ] = label
    for label, clicks in enumerate(case["clicks"] if "clicks" in case else [], 1):
        for sign, value in (("fg", label), ("bg", 0)):
            for click in clicks[sign]:
                distance = sum((place - c) ** 2 for place, c in zip(places, click))
                ball = distance <= 9
                segs[ball & ((segs == label) | (value > 0))] = value
    np.savez_compressed("outputs/" + os.path.basename(path), segs=segs)
"""
DOCKERFILE = """FROM umd/base
WORKDIR /workspace
COPY predict.py .
RUN echo "python3 predict.py" > predict.sh
"""
#: the script starts containers with a network, which a build machine may lack; ours have none
DOCKER = """#!/bin/sh
if [ "$1 $2" = "container run" ]; then shift 2; exec DOCKER container run --network none "$@"; fi
exec DOCKER "$@"
"""
TORCH = """
class cuda:
    is_available = staticmethod(lambda: False)
    empty_cache = staticmethod(lambda: None)
"""


def build_image(folder: Path, builder: BuildClient) -> Path:
    """The image of the team, saved as the challenge wants it."""
    ensure_base("base", builder)
    (folder / "image").mkdir()
    (folder / "image" / "predict.py").write_text(PREDICT)
    (folder / "image" / "Dockerfile").write_text(DOCKERFILE)
    builder.build(folder / "image", "Dockerfile", "team:latest", what="team")
    archive = folder / "dockers" / "team.tar"
    builder.save("team:latest", archive)
    return archive


def write_case(folder: Path, case: Case, modality: Modality, run: RunStore) -> str:
    """Write the challenge's two files of one scan; returns their name."""
    scan = case.scans[modality]
    prompts = run.prompts(case.id)
    assert prompts is not None
    ((_, targets),) = prompts.scan(modality).prompts.items()
    voxels, grid = read_image(scan.image)
    references = load_references(scan)
    gts = np.zeros(tuple(reversed(grid.shape)), np.uint8)
    boxes = []
    for number, (name, prompt) in enumerate(targets.items(), 1):
        gts[references.masks[name].to_array().astype(bool).transpose(2, 1, 0)] = number
        assert prompt.box
        boxes.append(closed_box(prompt.box))
    file = f"{case.id}_{modality}.npz"
    image = scale_to_uint8(voxels, modality).transpose(2, 1, 0)
    sizes = np.array(spacing(np.array(grid.affine))[::-1])
    np.savez_compressed(
        folder / "images" / file, imgs=image, spacing=sizes, boxes=np.array(boxes, dtype=object)
    )
    np.savez_compressed(folder / "gts" / file, gts=gts)
    return file


def run_script(folder: Path, scripts: Path, python: str) -> tuple[pd.DataFrame, float]:
    """The challenge's own table, and seconds."""
    (folder / "torch.py").write_text(TORCH)
    command = [
        python, str(scripts / "CVPR25_iter_eval.py"), "-i", "images", "-o", "segs",
        "-d", "dockers", "-val_gts", "gts", "--verbose",
    ]  # fmt: skip
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER.replace("DOCKER", shutil.which("docker") or "docker"))
    program.chmod(0o755)
    begun = time.perf_counter()
    environment = os.environ | {
        "PYTHONPATH": f"{folder}:{scripts}",
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }
    with (folder / "script.log").open("w") as log:
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=log, stderr=log)
    seconds = time.perf_counter() - begun
    table = pd.read_csv(folder / "segs" / "team" / "team_metrics.csv")
    if table.empty:
        raise SystemExit(
            "the challenge's script scored nothing:\n" + (folder / "script.log").read_text()[-3000:]
        )
    return table, seconds


def box_function(scripts: Path) -> ModuleType:
    """The functions of the challenge's get_boxes.py, without its imports and its loop."""
    source = (scripts / "get_boxes.py").read_text()
    module = ModuleType("get_boxes")
    module.__dict__["np"] = np
    exec(source[source.index("def mask2D_to_bbox") : source.index("path = ")], module.__dict__)  # noqa: S102
    return module


def count_other_boxes(folder: Path, scripts: Path) -> tuple[int, int]:
    """Boxes that the challenge's function cannot draw for their organ, and all boxes.

    The function enlarges a box by 0 to 5 pixels at random; all six are tried.
    """
    functions = box_function(scripts)
    count = total = 0
    for path in sorted((folder / "images").iterdir()):
        gts = np.load(folder / "gts" / path.name)["gts"]
        for number, box in enumerate(np.load(path, allow_pickle=True)["boxes"], 1):
            possible = []
            for shift in range(6):
                functions.np = _Drawing(shift)
                drawn = functions.mask3D_to_bbox(gts == number, path.name)
                possible.append({name: int(value) for name, value in drawn.items()})
            count += dict(box) not in possible
            total += 1
    return count, total


class _Drawing:
    """numpy, whose generator always draws one number."""

    def __init__(self, number: int) -> None:
        self.random, self._number = self, number

    def randint(self, *_: int) -> list[int]:
        return [self._number]

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


#: what the script prints for each class in each round of clicks
CLICK = re.compile(r"center is at \(([^)]*)\)|(No error connected components found)|(finished!)")


def printed_clicks(log: str) -> Iterator[list[tuple[int, ...] | None]]:
    """Clicks of all classes, for each container that the script has run, in its order."""
    clicks: list[tuple[int, ...] | None] = []
    for place, nothing, finished in CLICK.findall(log):
        if finished:
            yield clicks
            clicks = []
        else:
            numbers = re.sub(r"np\.int64\((\d+)\)", r"\1", place)
            clicks.append(None if nothing else tuple(map(int, numbers.split(","))))


def count_other_clicks(folder: Path, run: RunStore) -> tuple[int, int]:
    """Clicks of our run that are not those of the script, and all clicks."""
    theirs = printed_clicks((folder / "script.log").read_text())
    count = total = 0
    for file in sorted(path.name for path in (folder / "images").iterdir()):
        case, _, modality = file.removesuffix(".npz").rpartition("_")
        record = run.record(case, modality)  # type: ignore[arg-type]
        assert record is not None
        for entry in record.rounds:
            expected = next(theirs)
            if entry.round == 0:
                assert not expected
                continue
            for number, name in enumerate(entry.targets):
                points = entry.added.get(name, ())
                ours = tuple(reversed(points[0].index)) if points else None
                count += ours != expected[number]
                total += 1
    return count, total


def compare_rounds(table: pd.DataFrame, run: RunStore) -> dict[str, float]:
    """The largest difference of the mean Dice and NSD of an image in a round."""
    theirs = table.set_index("CaseName")
    frame = read_scores(run)
    largest = {"DSC of a round": 0.0, "NSD of a round": 0.0}
    for (case, modality, number), rows in frame.groupby(["case", "modality", "round"]):
        dice = rows[rows["metric"] == "dice"]["value"].mean()
        nsd = rows[rows["metric"] == "nsd"]["value"].mean() if dice > 0.2 else 0.0
        for name, ours in (("DSC", dice), ("NSD", nsd)):
            value = float(theirs.loc[f"{case}_{modality}.npz", f"{name}_{number + 1}"])
            key = f"{name} of a round"
            largest[key] = float(np.maximum(largest[key], abs(value - ours)))  # shows NaN, too
    return largest


def compare(folder: Path, table: pd.DataFrame, run: RunStore) -> dict[str, float]:
    """The largest difference of each total, and the number of voxels that differ in all rounds."""
    largest = dict.fromkeys(("DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final", "voxels"), 0.0)
    theirs = table.set_index("CaseName")
    for total in challenge_totals(run):
        for image in total["images"]:
            file = f"{image['case']}_{total['modality']}.npz"
            for name in ("DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final"):
                difference = abs(float(theirs.loc[file, name]) - image[name.lower()])
                largest[name] = float(np.maximum(largest[name], difference))  # shows NaN, too
            largest["voxels"] += count_differences(folder, file, run, image["case"], total)
    return largest


def count_differences(
    folder: Path, file: str, run: RunStore, case: str, total: dict[str, object]
) -> int:
    record = run.record(case, total["modality"])  # type: ignore[arg-type]
    assert record is not None
    count = 0
    for entry, labels in zip(
        record.rounds, np.load(folder / "segs" / "team" / file)["all_segs"], strict=True
    ):
        for number, target in enumerate(entry.targets.values(), 1):
            assert target.mask is not None
            mask = run.masks.read(target.mask.file)[0] > 0
            count += int((mask.transpose(2, 1, 0) != (labels == number)).sum())
    return count


def main(scripts: Path, python: str, dataset_name: str) -> None:
    builder = BuildClient()
    with tempfile.TemporaryDirectory(dir=paths.cache()) as temporary:
        folder = Path(temporary)
        os.environ["UMD_MODELS"] = str(folder / "models")
        os.environ["UMD_RUNS"] = str(folder / "runs")
        archive = build_image(folder, builder)
        runs, seconds = {}, {}
        for contract in ("cvpr25", "cvpr25-batch"):
            add_image(f"team-{contract}", str(archive), builder, contract=contract)
            begun = time.perf_counter()
            runs[contract] = run_model(
                RunConfig(
                    model=f"team-{contract}", dataset=dataset_name, protocol="cvpr25", recheck=0
                )
            )
            seconds[contract] = time.perf_counter() - begun
        for name in ("images", "gts"):
            (folder / name).mkdir()
        for case in load_dataset(dataset_name).cases:
            for modality in case.scans:
                write_case(folder, case, modality, runs["cvpr25"])
        table, seconds["the challenge's script"] = run_script(folder, scripts, python)
        print(
            f"{len(table)} images, six rounds, a load of 3 s; load average {os.getloadavg()[0]:.0f}"
        )
        print("boxes that the challenge cannot draw, of all:", count_other_boxes(folder, scripts))
        for name, value in seconds.items():
            print(f"{name:24} {value:8.1f} s")
        for contract, run in runs.items():
            print(contract, "largest differences:", compare(folder, table, run))
            print(contract, "of each round:", compare_rounds(table, run))
            print(contract, "other clicks, of all:", count_other_clicks(folder, run))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3] if sys.argv[3:] else "phantom-toy")
