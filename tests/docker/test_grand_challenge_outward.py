"""A model of the zoo under Grand Challenge's rules, and a run as an evaluation method reads it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest
import SimpleITK

from evaluator.errors import UserError
from evaluator.export import export_run
from evaluator.runs.tables import read_scores
from evaluator.zoo import find_model, outward
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.foreign_cards import load_sockets
from evaluator.zoo.outward import export_image
from evaluator.zoo.registered_images import add_image
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

#: written from the template of evaluation methods: finds the images by socket, scores them
EVALUATE = """
import json, pathlib, sys
import numpy as np
import SimpleITK

INPUT, OUTPUT, TRUTH = map(pathlib.Path, sys.argv[1:])

def item_of(values, slug):
    (item,) = [value for value in values if value["socket"]["slug"] == slug]
    assert item["interface"] == item["socket"]
    return item

def process(job):
    assert job["status"] == "Succeeded"
    key = tuple(sorted(value["socket"]["slug"] for value in job["inputs"]))
    assert key == ("clicks", "ct-image"), key
    name = item_of(job["inputs"], "ct-image")["image"]["name"]
    path = item_of(job["outputs"], "segmentation")["socket"]["relative_path"]
    (file,) = (INPUT / job["pk"] / "output" / path).glob("*.mha")
    mask = SimpleITK.ReadImage(str(file))
    truth = SimpleITK.ReadImage(str(TRUTH / name))
    assert np.allclose(mask.GetOrigin(), truth.GetOrigin(), atol=1e-3)
    a, b = SimpleITK.GetArrayFromImage(mask) == 1, SimpleITK.GetArrayFromImage(truth) == 1
    return {"name": name, "dice": 2 * int((a & b).sum()) / int(a.sum() + b.sum())}

jobs = json.loads((INPUT / "predictions.json").read_text())
results = [process(job) for job in jobs]
mean = sum(result["dice"] for result in results) / len(results)
(OUTPUT / "metrics.json").write_text(json.dumps({"results": results, "aggregates": mean}))
"""


ROUNDS = """
id = "three-rounds"
title = "A point and two clicks"
description = "Clicks at the largest error."
metrics = ["dice"]
failures_count_as = "worst"
distance_cap_mm = 500.0
prompts = { kinds = ["point"] }
rounds = { count = 3, correction = "largest-error-click" }
"""


@pytest.fixture
def builder(docker_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    client = BuildClient(docker_engine.client)
    yield client
    for name in ("painter-grand-challenge", "region-growing-grand-challenge"):
        if client.find(f"umd/{name}:latest"):
            docker_engine.client.images.remove(f"umd/{name}:latest", force=True)


def masks(run):
    hashes = {}
    for record in run.records():
        for entry in record.rounds:
            for name, target in entry.targets.items():
                assert str(target.status) == "ok", (name, target)
                hashes[record.case, record.modality, entry.round, name] = target.mask.sha256
    return hashes


@pytest.mark.docker
def test_a_model_of_the_zoo_answers_there_as_here(builder, tmp_path):
    """The zoo's region growing: by contract 1, and as the image that would be uploaded."""
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT",))
    (tmp_path / "three-rounds.toml").write_text(ROUNDS)
    protocol = str(tmp_path / "three-rounds.toml")
    image = export_image(find_model("region-growing"), "ct-click", None)
    add_image("uploaded", image.reference, builder)
    here = order("region-growing", data, protocol, engine="local")
    there = order("uploaded", data, protocol, engine="docker", recheck=1)
    assert there.info().identity.contract == "grand-challenge"
    assert there.info().identity.image == image.digest
    assert masks(there) == masks(here)
    assert there.reproducibility().verdict == "equal"
    loads = []
    for record in there.records():
        loads += [entry.load_seconds for entry in record.rounds if entry.load_seconds]
    assert len(loads) == 1


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_the_file_to_upload(tmp_path, name):
    class Builder:
        def save(self, reference, path):
            path.write_bytes(reference.encode())

    outward._save(Builder(), "umd/a:latest", tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert (gzip.decompress(content) if name.endswith("gz") else content) == b"umd/a:latest"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(UserError, match="must end in"):
        outward._save(Builder(), "umd/a:latest", tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("labels", "sockets", "message"),
    [
        ({"inputs": "PT"}, "ct-click", "has the images CT, and model painter takes PT"),
        ({"prompts": "box"}, "ct-click", "needs box"),
        ({}, "nothing", "--sockets nothing"),
    ],
)
def test_a_model_that_does_not_fit_the_sockets(project, labels, sockets, message):
    project({"painter": PAINTER}, **labels)
    with pytest.raises(UserError, match=message):
        export_image(find_model("painter"), sockets, None)


def evaluate(folder, data, names):
    """Run the evaluation method in a process; its metrics."""
    truth = folder / "truth"
    truth.mkdir()
    for name, subject in names.items():
        image = SimpleITK.ReadImage(str(data.parent / f"{subject}_CT_reference.nii.gz"))
        SimpleITK.WriteImage(image, str(truth / name))
    (folder / "evaluate.py").write_text(EVALUATE)
    (folder / "result").mkdir()
    command = [sys.executable, "evaluate.py", "input", "result", "truth"]
    subprocess.run(command, cwd=folder, check=True)
    return json.loads((folder / "result" / "metrics.json").read_text())


def test_an_evaluation_method_scores_a_run(tmp_path, project):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    run = order("painter", data, "box", engine="local")
    sockets = load_sockets("ct-click")[1]
    folder = tmp_path / "evaluation"
    export_run(run, "grand-challenge", folder / "input", keep_ids=True, sockets=sockets)
    names = {"a.a_CT_liver.mha": "a", "b.a_CT_liver.mha": "b"}
    metrics = evaluate(folder, data, names)
    scores = read_scores(run).query("metric == 'dice' and modality == 'CT'")
    ours = dict(zip(scores["subject"], scores["value"], strict=True))
    theirs = {names[result["name"]]: result["dice"] for result in metrics["results"]}
    assert theirs == pytest.approx(ours, abs=1e-12)
    assert json.loads((folder / "input" / "left-out.json").read_text()) == []


def test_pseudonyms_and_failures(tmp_path, project, messages):
    failing = PAINTER.replace(
        "        def paint(target):",
        "        1 / (request.grid.shape[0] - 14)\n        def paint(target):",
    )
    project({"painter": PAINTER, "failing": failing})
    data = make_dataset(tmp_path / "data", ["alice"], ("CT", "PT"))
    run = order("painter", data, "box", engine="local")
    sockets = load_sockets("ct-click")[1]
    files = export_run(run, "grand-challenge", tmp_path / "out", sockets=sockets)
    assert "alice" not in "".join(file.read_text(errors="replace") for file in files)
    with pytest.raises(UserError, match="no socket map; add --sockets"):
        export_run(run, "grand-challenge", tmp_path / "none")
    run = order("failing", data, "box", engine="local")
    with pytest.raises(UserError, match="no image whose predictions all succeeded"):
        export_run(run, "grand-challenge", tmp_path / "failed", sockets=sockets)
