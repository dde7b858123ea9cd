"""Images from elsewhere, run unmodified: the CVPR 2025 convention, by reference and by archive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluator.errors import ModelFilesError, UserError
from evaluator.runs.names import open_run
from evaluator.runs.tables import read_scores
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.registered_images import add_image
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

pytestmark = pytest.mark.docker

#: paints boxes and clicks, as PAINTER does under contract 1; written from the challenge's rules
PREDICT = """
import glob, json, os, sys
import numpy as np

os.makedirs("/workspace/scratch", exist_ok=True)  # images of the challenge write into their root
print("files:", len(glob.glob("inputs/*.npz")), "user:", os.getuid(), file=sys.stderr)
for path in sorted(glob.glob("inputs/*.npz"), reverse=True):
    body = np.load(path, allow_pickle=True)
    segs = np.zeros(body["imgs"].shape, np.uint8)
    assert body["imgs"].dtype == np.uint8 and "gts" not in body
    for number, box in enumerate(body["boxes"], 1):
        segs[
            box["z_min"] : box["z_max"] + 1,
            box["z_mid_y_min"] : box["z_mid_y_max"] + 1,
            box["z_mid_x_min"] : box["z_mid_x_max"] + 1,
        ] = number
    if "clicks" in body:
        assert len(body["clicks"]) == len(body["clicks_order"]) == len(body["boxes"])
        for number, clicks in enumerate(body["clicks"], 1):
            for z, y, x in clicks["fg"] + clicks["bg"]:
                segs[z, y, x] = number
    os.remove(path)  # the input folder may be written
    EXTRA
    np.savez_compressed("outputs/" + os.path.basename(path), segs=segs)
"""

DOCKERFILE = """FROM umd/base
COPY predict.py predict.sh entry.sh /workspace/
WORKDIR /workspace
USER root
ENTRYPOINT ["/bin/sh", "/workspace/entry.sh"]
"""


@pytest.fixture
def build(docker_engine, tmp_path, monkeypatch):
    """``build(name, extra)``: an image of the convention, with an entrypoint like conda run's."""
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    builder = BuildClient(docker_engine.client)
    ensure_base("base", builder)
    tags = set()

    def make(name, extra="pass"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "predict.py").write_text(PREDICT.replace("EXTRA", extra))
        (folder / "predict.sh").write_text("python3 predict.py\n")
        # as "conda run" does: the arguments are the command
        (folder / "entry.sh").write_text('exec "$@"\n')
        (folder / "Dockerfile").write_text(DOCKERFILE)
        tag = f"umd-test/{name}:v1"
        builder.build(folder, "Dockerfile", tag, what=name)
        tags.add(tag)
        return tag

    yield make
    for tag in filter(builder.find, tags):
        docker_engine.client.images.remove(tag, force=True)


def umd(*arguments):
    """Run the command in a process."""
    done = subprocess.run(
        [Path(sys.executable).with_name("umd"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def masks(run):
    """(case, modality, round, target) -> number of voxels, and the mask's file content."""
    found = {}
    for record in run.records():
        for entry in record.rounds:
            for name, target in entry.targets.items():
                assert str(target.status) == "ok", (record.case, name, target)
                found[record.case, record.modality, entry.round, name] = target.mask.voxels
    return found


def test_an_image_of_the_challenge_equals_the_same_model_under_contract_1(build, project, tmp_path):
    tag = build("painter-cvpr25")
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"))
    added = umd("models", "add", "single", "--image", tag, "--contract", "cvpr25")
    assert added.returncode == 0, added.stderr
    assert "entrypoint  /bin/sh /workspace/entry.sh" in added.stdout
    batch = umd("models", "add", "batch", "--image", tag, "--contract", "cvpr25-batch")
    assert batch.returncode == 0, batch.stderr
    native = masks(order("painter", data, "cvpr25", engine="local"))
    assert len(native) == 2 * 3 * 6
    runs = {}
    for name in ("single", "batch"):
        runs[name] = order(name, data, "cvpr25", engine="docker", recheck=2)
        assert masks(runs[name]) == native
        assert runs[name].reproducibility().verdict == "equal"
    starts = (runs["single"].path / "model.log").read_text().splitlines()
    assert set(starts) == {"files: 1 user: 0"}
    starts = (runs["batch"].path / "model.log").read_text().splitlines()
    # one container a round for all six scans, and those of the reproducibility check
    assert starts.count("files: 6 user: 0") == 6
    values = [read_scores(run)["value"].to_numpy() for run in runs.values()]
    np.testing.assert_array_equal(values[0], values[1])


def test_a_crash_in_one_round_is_no_stale_mask(build, tmp_path, project):
    project({"painter": PAINTER})
    tag = build("crash", "if 'clicks' in body and body['imgs'].shape[2] == 9: sys.exit(3)")
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))
    result = umd(
        "run", "--image", tag, "--contract", "cvpr25", "-d", data, "-p", "cvpr25", "--recheck", 0
    )
    (folder,) = (tmp_path / "runs").iterdir()
    run = open_run(folder.name)
    assert run.info().identity.contract == "cvpr25", result.stderr
    statuses = {
        record.modality: [str(entry.targets["liver"].status) for entry in record.rounds]
        for record in run.records()
    }
    assert statuses["CT"] == ["ok"] * 6
    # the challenge's script would score the first round's mask six times
    assert statuses["PT"] == ["ok", *["crashed"] * 5]


def test_an_archive_is_loaded_and_known_by_its_id(build, docker_engine, tmp_path, project):
    project({"painter": PAINTER})
    tag = build("archived")
    builder = BuildClient(docker_engine.client)
    archive = tmp_path / "team1.tar"
    builder.save(tag, archive)
    digest = builder.find(tag)
    docker_engine.client.images.remove(tag, force=True)
    result = umd("models", "add", "team1", "--image", archive, "--contract", "cvpr25")
    assert result.returncode == 0, result.stderr
    assert digest in result.stdout
    listed = umd("models", "list", "--json").stdout.splitlines()
    card = next(body for body in map(json.loads, listed) if body["name"] == "team1")
    assert card["prompts"] == ["point", "box", "mask"]
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    docker_engine.client.images.remove(digest, force=True)
    run = order("team1", data, "cvpr25", engine="docker")
    assert run.info().identity.image == digest
    assert set(masks(run)) == {("a.a", "CT", number, "liver") for number in range(6)}


def test_a_tag_that_moved_is_another_model(build, docker_engine, tmp_path, project):
    project({"painter": PAINTER})
    tag = build("moving")
    builder = BuildClient(docker_engine.client)
    add_image("moving", tag, builder, contract="cvpr25")
    before = builder.find(tag)
    build("moving", "segs[:] = 0")
    with pytest.raises(UserError, match="another image"):
        add_image("moving", tag, builder, contract="cvpr25")
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    run = order("moving", data, "cvpr25", engine="docker")
    assert run.info().identity.image == before
    docker_engine.client.images.remove(before, force=True)
    with pytest.raises(ModelFilesError, match="is now sha256"):
        order("moving", data, "cvpr25", engine="docker", name="again")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "umd-test/no-such-image:v9"], "cannot be pulled"),
        (["--image", "TAG"], "add --contract, one of 1, cvpr25"),
        pytest.param(
            ["--image", "TAG", "--contract", "flare"],
            "'flare' is not known",
            marks=pytest.mark.extended,
        ),
        (["--image", "TAG", "--contract", "1"], "label umd.inputs: is missing"),
        pytest.param(
            ["--image", "TEXT"], "holds no image of docker save", marks=pytest.mark.extended
        ),
        pytest.param(
            ["--image", "TAG", "--contract", "cvpr25", "--card", "TEXT"],
            "not TOML",
            marks=pytest.mark.extended,
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(build, tmp_path, arguments, message):
    tag = build("plain")
    text = tmp_path / "a.txt"
    text.write_text("no image\n")
    words = [{"TAG": tag, "TEXT": str(text)}.get(word, word) for word in arguments]
    result = umd("models", "add", "x", *words)
    assert (result.returncode in (2, 3, 4), message in result.stderr) == (True, True), result
    assert not (tmp_path / "models" / "x.toml").exists()
