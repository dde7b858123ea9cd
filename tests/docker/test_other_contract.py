"""A second container contract: npz files in and out, a container for each request.

Only ``CONTRACTS`` refers to it. A complete evaluation uses it: rounds with previous masks, the
validator and failures of several kinds.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from evaluator.containers.contracts import CONTRACTS
from evaluator.containers.engines.spec import NATIVE_LAYOUT
from evaluator.containers.requests import StagedRequest, StagedScan
from evaluator.imaging.grid_masks import GridMask
from evaluator.runs.tables import read_scores
from evaluator.types import Failure, Status
from evaluator.volumes import read_image, write_volume
from evaluator.volumes.mask_validation import read_untrusted
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset
from zoo_sdk.wire import Reply

MODEL = """
import os, sys
import numpy as np

print("requests:", len(os.listdir("/input/requests")), file=sys.stderr)
for name in sorted(os.listdir("/input/requests")):
    body = np.load("/input/requests/" + name)
    image, targets = body["image"], [str(target) for target in body["targets"]]
    labels = np.zeros(image.shape, np.uint8)
    for number, target in enumerate(targets, 1):
        labels[body[target + "-previous"] > 0] = number
        for point in body[target + "-points"]:
            labels[tuple(point)] = number
        low, high = body[target + "-box"]
        labels[tuple(slice(a, b) for a, b in zip(low, high))] = number
    if image.shape == SHAPES["PT"] and body["round"] == 2:
        sys.exit(7)
    if image.shape == SHAPES["MR"]:
        labels = labels[1:]
    if image.shape == SHAPES["MR"] and body["round"] == 1:
        labels = np.array([{"an": "object"}])
    np.savez("/output/" + name, labels=labels)
"""

DOCKERFILE = """FROM umd/base
COPY models/npz/run.py /opt/model/run.py
ENTRYPOINT ["python3", "/opt/model/run.py"]
LABEL umd.contract="npz" umd.name="npz" umd.title="npz" umd.inputs="CT | MR | PT" \\
      umd.prompts="point,box,mask" umd.rounds="many" umd.memory="512MiB" umd.timeout="60"
"""


class NpzContract:
    """A request is an npz file with image, prompts and previous masks; a reply is a label map."""

    name = "npz"
    modes = ("batch",)
    batch_size = 1
    single_target = False
    layout = NATIVE_LAYOUT

    def command(self, mode):
        return []

    def stage_scan(self, scan, workspace):
        _, grid = read_image(next(iter(scan.images.values())).source)
        return StagedScan(scan=scan, grid=grid, files=())

    def stage_request(self, request, scan, workspace):
        image, _ = read_image(next(iter(scan.scan.images.values())).source)
        body = {
            "image": image,
            "round": np.int64(request.round),
            "targets": np.array([target.name for target in request.targets]),
        }
        for target in request.targets:
            box = (target.box.low, target.box.high) if target.box else ((0, 0, 0), (0, 0, 0))
            previous = target.previous.to_array() if target.previous else np.zeros(image.shape)
            body[f"{target.name}-points"] = np.array(
                [point.index for point in target.points], np.int64
            ).reshape(-1, 3)
            body[f"{target.name}-box"] = np.array(box)
            body[f"{target.name}-previous"] = previous.astype(np.uint8)
        path = workspace.input / "requests" / f"{request.id}.npz"
        np.savez(path, **body)
        path.chmod(0o644)
        return StagedRequest(
            id=request.id,
            targets=tuple(target.name for target in request.targets),
            grid=scan.grid,
            files=(path,),
            images=(),
        )

    def answer_path(self, request, output):
        return output / f"{request.id}.npz"

    def is_answered(self, request, output, *, following, running):
        return not running and self.answer_path(request, output).exists()

    def read_reply(self, request, output):
        return Reply()

    def read_mask(self, request, target, output, validator) -> GridMask | Failure:
        body = read_untrusted(self.answer_path(request, output), 2**24)
        if isinstance(body, Failure):
            return body
        try:
            labels = np.load(io.BytesIO(body), allow_pickle=False)["labels"]
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            return Failure(status=Status.UNSAFE_FILE, detail=str(error))
        mask = (labels == request.targets.index(target) + 1).astype(np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mask.nii.gz"
            if mask.shape != request.grid.shape:
                return Failure(status=Status.WRONG_SHAPE, detail=f"{mask.shape}")
            write_volume(path, mask, request.grid)
            return validator.check(path, request.grid, 2**24)


@pytest.mark.docker
def test_a_complete_evaluation_under_a_second_contract(
    project, tmp_path, monkeypatch, docker_engine
):
    monkeypatch.setitem(CONTRACTS, "npz", NpzContract())
    folder = project({"painter": PAINTER})
    (folder / "models" / "npz").mkdir()
    from tests.tiny import GRIDS

    shapes = {name: grid.shape for name, grid in GRIDS.items()}
    (folder / "models" / "npz" / "run.py").write_text(f"SHAPES = {shapes}\n{MODEL}")
    (folder / "dockerfiles" / "npz.Dockerfile").write_text(DOCKERFILE)
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"), ("liver", "spleen"))
    run = order("npz", data, "box-clicks-5", engine="docker", recheck=1)
    native = order("painter", data, "box-clicks-5", engine="local")

    info = run.info()
    assert (info.identity.contract, info.engine.name) == ("npz", "docker")
    assert run.reproducibility().verdict == "equal"
    assert run.reproducibility().mode == "batch"
    statuses = {"CT": [], "MR": [], "PT": []}
    for record in run.records():
        for entry in record.rounds:
            statuses[record.modality].append(str(entry.targets["liver"].status))
        assert record.files == native.record(record.case, record.modality).files
    assert set(statuses["CT"]) == {"ok"}
    assert set(statuses["MR"]) == {"wrong-shape", "unsafe-file"}
    assert statuses["PT"][:3] == ["ok", "ok", "crashed"]
    # each request has a container
    starts = (run.path / "model.log").read_text().splitlines()
    assert set(starts) == {"requests: 1"}
    assert len(starts) >= sum(len(record.rounds) for record in run.records())
    # prompts, clicks and masks of the first round equal those of the same model under contract 1
    for case in ("a.a", "b.a"):
        assert run.prompts(case) == native.prompts(case)
        ours, theirs = run.record(case, "CT"), native.record(case, "CT")
        # where two targets overlap, the label map contains all of the later one
        first = [record.rounds[0].targets["spleen"].mask.sha256 for record in (ours, theirs)]
        assert first[0] == first[1]
        assert ours.rounds[1].added["spleen"] == theirs.rounds[1].added["spleen"]
    scores = read_scores(run)
    crashed = scores[(scores["modality"] == "PT") & (scores["round"] == 2)]
    assert set(crashed["status"]) == {"crashed"}
    assert crashed["value"].isna().all()
