"""Images of other challenges give equal masks and scores on Docker, Podman and the stand-in.

All write into their root, as published images do. The algorithm that is executed for each request
is a shell script in an image of 2 MB; the others need Python, and are extended tests, because
Podman has to copy an image of 0.7 GB.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from evaluator.containers.engines.spec import RUN_LABEL
from evaluator.runs.tables import read_scores
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.engine_images import open_image_store
from evaluator.zoo.registered_images import add_image
from tests.conftest import order
from tests.docker.test_engines import masks, programs, scores
from tests.tiny import make_dataset

__all__ = ["programs"]

SOCKETS = """
[inputs.ct]
path = "images/ct"
modality = "CT"
[inputs.clicks]
path = "clicks.json"
[outputs.organ]
path = "images/organ"
targets = { "*" = 1 }
"""

#: a mask is 1 where the image, float32 from 0 to 54, is above 52 (0x42500000); a zlib stream is
#: gunzipped by a header before its third byte, and gunzip misses the trailer
SHELL = r"""#!/bin/sh
set -eu
echo "preprocessed" > /opt/algorithm/written-at-run-time
echo "x" > /of-another-user/x
echo "x" > /written-at-run-time
grep -q '"KEY": {[^}]*"slug": "ct"' /input/inputs.json
grep -q '"point"' /input/clicks.json
mkdir -p /output/images/organ
image=$(ls /input/images/ct/*.mha)
size=$(sed -n 's/^CompressedDataSize = //p;/^ElementDataFile/q' "$image")
{
  sed '/^ElementDataFile/q' "$image" | grep -v '^Compressed' | sed 's/MET_FLOAT/MET_UCHAR/'
  { printf '\037\213\010\000\000\000\000\000\000\000'; tail -c "$size" "$image" | tail -c +3; } |
    { gzip -dc 2>/dev/null || true; } | xxd -p -c 4 |
    sed -e 's/^....5[1-9a-f]42$/01/' -e t -e 's/.*/00/' | xxd -r -p
} > /output/images/organ/any.mha
"""
SHELL_IMAGE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin && mkdir -m 1777 /tmp"]
RUN mkdir -p /opt/algorithm /of-another-user && chown 1234 /of-another-user
COPY answer.sh /opt/answer.sh
ENTRYPOINT ["/bin/sh", "/opt/answer.sh"]
"""

PREDICT = """
import glob, os
import numpy as np

for name in ("/workspace/scratch", "/of-another-user/x", "/written-at-run-time"):
    os.makedirs(name)
for path in glob.glob("inputs/*.npz"):
    case = np.load(path, allow_pickle=True)
    segs = np.zeros(case["imgs"].shape, np.uint8)
    for label, box in enumerate(case["boxes"], 1):
        place = (
            slice(box["z_min"], box["z_max"] + 1),
            slice(box["z_mid_y_min"], box["z_mid_y_max"] + 1),
            slice(box["z_mid_x_min"], box["z_mid_x_max"] + 1),
        )
        segs[place] = label * (case["imgs"][place] > case["imgs"].mean())
        for z, y, x in case["clicks"][label - 1]["fg"] if "clicks" in case else []:
            segs[z, y, x] = label
    np.savez_compressed("outputs/" + os.path.basename(path), segs=segs)
"""
PREDICT_IMAGE = """FROM umd/base
RUN mkdir /of-another-user && chown 1234 /of-another-user
WORKDIR /workspace
COPY predict.py .
RUN echo "python3 -B predict.py" > predict.sh && echo 'exec "$@"' > entry.sh
ENTRYPOINT ["sh", "/workspace/entry.sh"]
"""

SERVER = """
import glob, http.server, json, pathlib
import SimpleITK

def infer():
    pathlib.Path("/opt/algorithm/written-at-run-time").write_text("as baselines do")
    image = SimpleITK.ReadImage(glob.glob("/input/images/ct/*.mha")[0])
    mask = image > 52
    for click in json.load(open("/input/clicks.json"))["points"]:
        mask[click["point"]] = 1
    folder = pathlib.Path("/output/images/organ")
    folder.mkdir(parents=True)
    SimpleITK.WriteImage(mask, str(folder / "any.mha"), True)

class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.reply(200)

    def do_POST(self):
        infer()
        self.reply(201)

http.server.HTTPServer(("", 4743), Handler).serve_forever()
"""
SERVER_IMAGE = """FROM umd/base
RUN mkdir /opt/algorithm && chown 1000:1000 /opt/algorithm
COPY server.py /opt/algorithm/
USER 1000:1000
LABEL org.grand-challenge.api-method=invoke
ENTRYPOINT ["python3", "-B", "/opt/algorithm/server.py"]
"""
CLICKS = """
id = "two-rounds"
title = "A point and a click"
description = "A click at the largest error."
metrics = ["dice", "hd95"]
failures_count_as = "worst"
distance_cap_mm = 500.0
prompts = { kinds = ["point"] }
rounds = { count = 2, correction = "largest-error-click" }
"""


def left_by_podman() -> str:
    """Containers of the run whose name is podman; a relay must not keep its model's."""
    command = ["podman", "ps", "--all", "--quiet", "--filter", f"label={RUN_LABEL}=podman"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compare(tmp_path, archive, protocol, engines, **convention):
    """Run the image of an archive on all engines; they must not differ in a byte of a mask."""
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    runs = {}
    for engine in engines:
        add_image("foreign", str(archive), open_image_store(engine), **convention)
        runs[engine] = order("foreign", data, protocol, engine=engine, name=engine)
    expected = runs["docker"]
    for record in expected.records():
        statuses = [str(entry.targets["liver"].status) for entry in record.rounds]
        assert set(statuses) == {"ok"}, record.rounds
    assert len(masks(expected)) == len(expected.record("a.a", "CT").rounds)
    for engine, run in runs.items():
        assert masks(run) == masks(expected), engine
        for path in (run.path / "masks").rglob("*.zip"):
            other = expected.path / path.relative_to(run.path)
            assert path.read_bytes() == other.read_bytes(), engine
        assert scores(run) == scores(expected), engine
        assert run.info().identity.image == expected.info().identity.image
    assert left_by_podman() == ""
    return expected


@pytest.mark.podman
@pytest.mark.docker
@pytest.mark.parametrize("key", ["socket", pytest.param("interface", marks=pytest.mark.extended)])
def test_an_executed_algorithm_that_writes_into_its_root(programs, tmp_path, monkeypatch, key):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    folder = tmp_path / "image"
    folder.mkdir()
    shutil.copy(shutil.which("busybox"), folder / "busybox")
    (folder / "answer.sh").write_text(SHELL.replace("KEY", key))
    (folder / "Dockerfile").write_text(SHELL_IMAGE)
    (tmp_path / "sockets.toml").write_text(SOCKETS)
    store = open_image_store("podman")
    store.build(folder, "Dockerfile", f"umd/foreign-shell-{key}:1", what="the image", network=False)
    archive = tmp_path / "image.tar"
    store.save(f"umd/foreign-shell-{key}:1", archive)
    sockets = str(tmp_path / "sockets.toml")
    run = compare(
        tmp_path,
        archive,
        "point-1",
        ("docker", "podman", "apptainer"),
        contract="grand-challenge",
        sockets=sockets,
    )
    # two fifths of the organ's voxels are above 52
    dice = read_scores(run).query("metric == 'dice'")["value"]
    assert dice.between(0.4, 0.75).all()


@pytest.mark.podman
@pytest.mark.docker
@pytest.mark.extended
@pytest.mark.parametrize(
    ("contract", "dockerfile", "script", "protocol"),
    [
        ("cvpr25", PREDICT_IMAGE, PREDICT, "cvpr25"),
        ("cvpr25-batch", PREDICT_IMAGE, PREDICT, "cvpr25"),
        ("grand-challenge", SERVER_IMAGE, SERVER, "two-rounds"),
    ],
)
def test_images_with_python(
    programs, docker_engine, tmp_path, monkeypatch, contract, dockerfile, script, protocol
):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    builder = BuildClient(docker_engine.client)
    ensure_base("base", builder)
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / ("server.py" if "server" in dockerfile else "predict.py")).write_text(script)
    (folder / "Dockerfile").write_text(dockerfile)
    (tmp_path / "sockets.toml").write_text(SOCKETS)
    (tmp_path / "two-rounds.toml").write_text(CLICKS)
    name = f"umd-test/foreign-{contract}:1"
    builder.build(folder, "Dockerfile", name, what=name, network=False)
    builder.save(name, tmp_path / "image.tar")
    docker_engine.client.images.remove(name)
    is_server = contract == "grand-challenge"
    run = compare(
        tmp_path,
        tmp_path / "image.tar",
        str(tmp_path / "two-rounds.toml") if is_server else protocol,
        ("docker", "podman"),
        contract=contract,
        **({"sockets": str(tmp_path / "sockets.toml")} if is_server else {}),
    )
    (tmp_path / "image.tar").unlink()
    docker_engine.client.images.remove(run.info().identity.image, force=True)
    assert len(run.record("a.a", "CT").rounds) == (2 if is_server else 6)
