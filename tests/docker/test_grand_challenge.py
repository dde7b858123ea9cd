"""Grand Challenge algorithms, written from the platform's rules alone, run unmodified."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
import SimpleITK

from evaluator import paths
from evaluator.containers.contracts.sockets import parse_sockets
from evaluator.errors import HostError, ManifestError, UserError
from evaluator.volumes import MaskValidator
from evaluator.volumes.mask_validation import MapLabel
from evaluator.volumes.mha import write_mha
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.registered_images import add_image
from tests.conftest import order
from tests.tiny import GRIDS, PAINTER, make_dataset

#: paints each foreground click and its neighbours, as the model of contract 1 below does
INFERENCE = """
import glob, json, os, pathlib, sys
import numpy as np
import SimpleITK

pathlib.Path("/opt/algorithm/written-at-run-time").write_text("as the baselines of autoPET do")
inputs = json.load(open("/input/inputs.json"))
slugs = tuple(sorted(item["KEY"]["slug"] for item in inputs))
assert slugs == ("ct", "lesion-clicks", "pet"), slugs
(ct,), (pet,) = (glob.glob("/input/images/" + name + "/*.mha") for name in ("ct", "pet"))
named = [item["image"]["name"] for item in inputs if item["image"]]
assert sorted(named) == sorted(pathlib.Path(path).name for path in (ct, pet)), named
ct, pet = SimpleITK.ReadImage(ct), SimpleITK.ReadImage(pet)
assert ct.GetSize() == pet.GetSize() and ct.GetOrigin() == pet.GetOrigin()
clicks = json.load(open("/input/lesion-clicks.json"))
assert clicks == [item for item in inputs if item["value"]][0]["value"]
assert clicks["type"] == "Multiple points"
mask = np.zeros(pet.GetSize()[::-1], np.uint8)
for click in clicks["points"]:
    x, y, z = click["point"]
    mask[z, y, x] = click["name"] == "tumor"
image = SimpleITK.GetImageFromArray(mask)
image.CopyInformation(pet)
folder = pathlib.Path("/output/images/tumor-lesion-segmentation")
folder.mkdir(parents=True)
EXTRA
SimpleITK.WriteImage(image, str(folder / "any-name.mha"), True)
"""

DOCKERFILE = """FROM umd/base
RUN mkdir /opt/algorithm && chown 1000:1000 /opt/algorithm
COPY inference.py /opt/algorithm/
WORKDIR /opt/algorithm
USER 1000:1000
ENTRYPOINT ["python3", "inference.py"]
"""


#: a header that names a file of the host's
FOREIGN_VOXELS = r"""
text = "NDims = 3\nDimSize = 9 8 7\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n"
(folder / "a.mha").write_text(text)
sys.exit(0)
"""


@pytest.fixture
def build(docker_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    builder = BuildClient(docker_engine.client)
    ensure_base("base", builder)
    tags = []

    def make(name, key="socket", extra="pass", sockets="autopet-iv", **more):
        folder = tmp_path / name
        folder.mkdir()
        text = INFERENCE.replace("KEY", key).replace("EXTRA", extra)
        (folder / "inference.py").write_text(text)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        tag = f"umd-test/{name}:v1"
        builder.build(folder, "Dockerfile", tag, what=name)
        add_image(name, tag, builder, contract="grand-challenge", sockets=sockets, **more)
        tags.append(tag)

    yield make
    for tag in tags:
        docker_engine.client.images.remove(tag, force=True)


def statuses(run):
    found = {}
    for record in run.records():
        for entry in record.rounds:
            target = entry.targets["lesion"]
            found.setdefault(record.modality, []).append(str(target.status))
    return found


CLICKS = """
id = "three-rounds"
title = "A point and two clicks"
description = "Clicks at the largest error."
metrics = ["dice"]
failures_count_as = "worst"
distance_cap_mm = 500.0
prompts = { kinds = ["point"] }
rounds = { count = 3, correction = "largest-error-click" }
"""
CLICKED = PAINTER.replace("            if target.box:", "            if False:").replace(
    "mask[tuple(point.index)] = 1", "mask[tuple(point.index)] = point.foreground"
)


@pytest.mark.docker
@pytest.mark.parametrize("key", ["socket", pytest.param("interface", marks=pytest.mark.extended)])
def test_an_algorithm_equals_the_same_model_under_contract_1(build, project, tmp_path, key):
    project({"painter": CLICKED}, inputs="PT+CT")
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("lesion",))
    build("algorithm", key=key)
    (tmp_path / "three-rounds.toml").write_text(CLICKS)
    protocol = str(tmp_path / "three-rounds.toml")
    run = order("algorithm", data, protocol, engine="docker", recheck=int(key == "socket"))
    native = order("painter", data, protocol, engine="local")
    assert run.info().identity.contract == "grand-challenge"
    if key == "socket":
        assert run.reproducibility().verdict == "equal"
    compared = 0
    for record in run.records():
        if record.modality == "CT":
            continue
        other = native.record(record.case, record.modality)
        assert record.files == other.files
        for mine, theirs in zip(record.rounds, other.rounds, strict=True):
            assert str(mine.targets["lesion"].status) == "ok"
            assert mine.targets["lesion"].mask.sha256 == theirs.targets["lesion"].mask.sha256
            compared += 1
    assert compared >= 4


#: keeps the points of each round in /cache, and fails where that is not what autoPET V promises
CACHE = """
kept = pathlib.Path("/cache/rounds.json")
assert kept.exists() == bool(clicks["points"]), (kept.exists(), clicks["points"])
rounds = json.loads(kept.read_text()) if kept.exists() else []
for earlier in rounds:
    assert all(point in clicks["points"] for point in earlier)
kept.write_text(json.dumps([*rounds, clicks["points"]]))
assert pathlib.Path("/opt/ml/model/fold_0/weights.txt").read_text() == "abcd"
assert not os.access("/opt/ml/model/fold_0", os.W_OK)
"""
SCRIBBLED = """
import numpy as np
from zoo_sdk import read_mask

class Adapter:
    def predict(self, request):
        (target,) = request.targets
        mask = np.zeros(request.grid.shape, bool)
        if target.scribble:
            mask |= read_mask(target.scribble, request.grid)
        for point in target.points:
            mask[tuple(point.index)] = False
        return {target.name: mask}
"""
ROUNDS = """
id = "three-rounds"
title = "Two scribbles"
description = "Of autoPET V."
metrics = ["dice"]
failures_count_as = "worst"
distance_cap_mm = 500.0
prompts = { kinds = ["class"] }
rounds = { count = 3, correction = "scribble", click_rule = "autopet5" }
"""


@pytest.mark.docker
def test_scribbles_the_cache_and_weights_of_autopet_v(build, project, tmp_path):
    project({"scribbled": SCRIBBLED}, inputs="PT+CT", prompts="class,scribble,point")
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("lesion",))
    (tmp_path / "three-rounds.toml").write_text(ROUNDS)
    (tmp_path / "weights.txt").write_text("abcd")
    weights = tmp_path / "weights.tar.gz"
    with tarfile.open(weights, "w:gz") as archive:
        archive.add(tmp_path / "weights.txt", "fold_0/weights.txt")
    build("autopet-v", extra=CACHE, sockets="autopet-v", weights=weights)
    protocol = str(tmp_path / "three-rounds.toml")
    run = order("autopet-v", data, protocol, engine="docker")
    native = order("scribbled", data, protocol, engine="local")
    assert statuses(run) == {"PT": ["ok"] * 6, "CT": ["unsupported"] * 2}
    assert run.info().identity.weights.startswith("mounted:")
    assert list(run.info().weights.sha256) == ["weights.tar.gz"]
    for case in ("a.a", "b.a"):
        mine, theirs = (results.record(case, "PT") for results in (run, native))
        assert any(point for entry in mine.rounds for point in entry.added.values())
        for entry, native_entry in zip(mine.rounds, theirs.rounds, strict=True):
            assert entry.targets["lesion"].mask.sha256 == native_entry.targets["lesion"].mask.sha256
    assert not list(paths.cache().glob("work/*/cache/*"))


@pytest.mark.docker
@pytest.mark.parametrize(
    ("name", "extra", "status"),
    [
        ("twice", "SimpleITK.WriteImage(image, str(folder / 'b.mha'))", "error"),
        pytest.param(
            "shifted", "image.SetOrigin((1, 2, 3))", "wrong-affine", marks=pytest.mark.extended
        ),
        (
            "elsewhere",
            FOREIGN_VOXELS,
            "unsafe-file",
        ),
    ],
)
def test_a_bad_answer_has_the_status_of_any_model(build, project, tmp_path, name, extra, status):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"), ("lesion",))
    build(name, extra=extra)
    found = statuses(order(name, data, "point-1", engine="docker"))
    # the CT is an input of the PET's request
    assert found == {"PT": [status], "CT": ["unsupported"]}


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_mha_keeps_the_place_of_oblique_and_permuted_grids(tmp_path, modality):
    grid = GRIDS[modality]
    labels = np.random.default_rng(3).integers(0, 3, grid.shape).astype(np.uint8)
    write_mha(tmp_path / "a.mha", labels.astype(np.float32), grid)
    image = SimpleITK.ReadImage(str(tmp_path / "a.mha"))
    for index in [(0, 0, 0), (3, 2, 1), tuple(n - 1 for n in grid.shape)]:
        place = np.array(grid.affine) @ [*index, 1]
        expected = place[:3] * [-1, -1, 1]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected, atol=1e-4)
        assert image[index] == labels[index]
    whole = SimpleITK.Cast(image, SimpleITK.sitkUInt16)
    for compressed in (True, False):
        SimpleITK.WriteImage(whole, str(tmp_path / "b.mha"), compressed)
        with MaskValidator() as validator:
            label = MapLabel(format="mha", label=2)
            mask = validator.check(tmp_path / "b.mha", grid, 2**20, map_label=label)
        np.testing.assert_array_equal(mask.to_array(), labels == 2)


def test_a_refused_write_is_the_hosts_fault(tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("itk::ERROR: File cannot be written")

    monkeypatch.setattr(SimpleITK, "WriteImage", refuse)
    grid = GRIDS["CT"]
    with pytest.raises(HostError, match="free some space"):
        write_mha(tmp_path / "b.mha", np.zeros(grid.shape, np.float32), grid)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {}}, "inputs"),
        ({"inputs": {"ct": {"path": "../ct", "modality": "CT"}}}, "without .."),
        ({"inputs": {"ct": {"path": "images/ct"}}}, "needs a modality"),
        ({"inputs": {"ct": {"path": "images/ct", "modality": "US"}}}, "inputs.ct.modality"),
        ({"inputs": {"c": {"path": "c.json"}}}, "no input is an image"),
        (
            {"inputs": {"ct": {"path": "images/ct", "modality": "CT", "like": "pet"}}},
            "names no other image",
        ),
        ({"outputs": {"s": {"path": "images/s", "targets": {}}}}, "outputs.s.targets"),
        ({"more": 1}, "more"),
        ({"cache": "cache"}, "absolute path"),
        ({"cache": "/"}, "a folder of its own"),
        ({"cache": "/output/cache"}, "a folder of its own"),
        ({"cache": "/opt"}, "a folder of its own"),
        (
            {"inputs": {"ct": {"path": "images/ct", "modality": "CT", "scribbles": True}}},
            "an image has no scribbles",
        ),
    ],
)
def test_a_wrong_socket_map_is_refused_with_the_field(change, message):
    body = {
        "inputs": {"ct": {"path": "images/ct", "modality": "CT"}},
        "outputs": {"s": {"path": "images/s", "targets": {"*": 1}}},
    }
    assert parse_sockets(body, "x").modalities == ("CT",)
    with pytest.raises(ManifestError, match=message):
        parse_sockets(body | change, "x")


@pytest.mark.docker
def test_sockets_are_asked_for(docker_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    builder = BuildClient(docker_engine.client)
    ensure_base("base", builder)
    with pytest.raises(UserError, match="autopet-iii, autopet-iv"):
        add_image("x", "umd/base", builder, contract="grand-challenge")
    with pytest.raises(UserError, match="--sockets nothing"):
        add_image("x", "umd/base", builder, contract="grand-challenge", sockets="nothing")
