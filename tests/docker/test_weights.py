"""Images with published, random or mounted weights, each with a run of a different name.

Reports mark random weights. An image from a bundle needs no network.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluator.analysis.run_header import header
from evaluator.analysis.summary import summarise
from evaluator.errors import ModelFilesError, UserError
from evaluator.zoo import BuiltImage, ImageBuildConfig, ensure_image, find_model
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.fetching import Fetch
from evaluator.zoo.saved_images import load_base
from evaluator.zoo.weights import Weights
from evaluator.zoo.wheels import ImagePlatform
from tests.conftest import order
from tests.tiny import make_dataset
from tests.unit.test_bundles import Server, server

__all__ = ["server"]

BODY = b"published weights"
SHA = hashlib.sha256(BODY).hexdigest()

ADAPTER = """
import numpy as np
from zoo_sdk import Prediction, choose_options, each_target
from zoo_sdk.weights import WrongWeights, only_file, which_weights

class Adapter:
    def setup(self):
        self.read = only_file("*.pth").read_text()
        if "wrong" in self.read:
            raise WrongWeights("w.pth is no checkpoint of this network: 1 missing (a)")

    def predict(self, request):
        chosen = choose_options(request, {"size": ("small", "large")})
        def paint(target):
            mask = np.zeros(request.grid.shape, np.uint8)
            n = 2 if chosen["size"] == "large" else 1
            i, j, k = target.points[0].index
            mask[i:i + n, j:j + n, k:k + n] = 1
            return mask
        notes = {"read": self.read, "weights": which_weights(), **chosen}
        return Prediction(each_target(request, paint), notes=notes)
"""
SCRIPT = "def write(size, folder):\n    (folder / 'w.pth').write_text('random ' + size)\n"
SOURCES = """base = "umd/base"
[code]
origin = "a test"
license = "MIT"
[[weights]]
into = "w.pth"
url = "{url}"
sha256 = "{sha}"
license = "CC-BY-NC-4.0"
commercial = "no"
"""


@pytest.fixture
def weighted(project, tmp_path, monkeypatch, server, docker_engine):
    """A model whose weights a local server publishes. Downloads go to a temporary cache."""
    Server.files["/w.pth"] = BODY
    folder = project(
        {"weighted": ADAPTER},
        options="size=small|large",
        weights="published",
        **{"weights.sha256": SHA},
    )
    dockerfile = folder / "dockerfiles/weighted.Dockerfile"
    text = dockerfile.read_text()
    step = (
        "COPY models/weighted/random_weights.py /opt/model/\n"
        "COPY parts/weights /opt/ml/model\n"
        "ARG WEIGHTS=published\n"
        'RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"\nENTRYPOINT'
    )
    dockerfile.write_text(
        f"# {tmp_path} makes the images of this test unique\n" + text.replace("ENTRYPOINT", step)
    )
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    (folder / "models/weighted/random_weights.py").write_text(SCRIPT)
    (folder / "models/weighted/sources.toml").write_text(
        SOURCES.format(url=f"{server}/w.pth", sha=SHA)
    )
    yield folder
    for image in docker_engine.client.images.list("umd/weighted"):
        docker_engine.client.images.remove(image.id, force=True)


@pytest.mark.docker
@pytest.mark.extended
def test_two_simultaneous_builds_build_a_single_image(weighted, messages):
    chosen = ImageBuildConfig(weights=Weights(kind="random", size="small"))
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(ensure_image, find_model("weighted"), chosen) for _ in range(2)]
    assert len({future.result().digest for future in futures}) == 1
    assert len([line for line in messages if line.startswith("building umd/weighted:")]) == 1


def build(weights: Weights, **more) -> BuiltImage:
    fetch = Fetch(accepted=frozenset({"CC-BY-NC-4.0"}))
    return ensure_image(
        find_model("weighted"), ImageBuildConfig(weights=weights, fetch=fetch, **more)
    )


@pytest.mark.docker
def test_each_kind_of_weights_is_built_and_run(weighted, tmp_path, monkeypatch):
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    accepted = frozenset({"CC-BY-NC-4.0"})
    with pytest.raises(ModelFilesError, match=r"w\.pth: CC-BY-NC-4\.0"):
        order("weighted", data)
    folder = tmp_path / "mounted"
    folder.mkdir(mode=0o755)
    (folder / "w.pth").write_bytes(BODY)
    runs = {
        "published": order("weighted", data, accepted=accepted),
        "random:small": order("weighted", data, weights="random"),
        "mounted": order("weighted", data, weights=str(folder)),
        "large": order("weighted", data, weights=str(folder), options=("size=large",)),
    }
    assert len({run.name for run in runs.values()}) == 4
    read = {
        "published": BODY.decode(),
        "random:small": "random small",
        "mounted": BODY.decode(),
        "large": BODY.decode(),
    }
    for kind, run in runs.items():
        info = run.info()
        which = "mounted" if kind == "large" else kind
        (record,) = run.records()
        (entry,) = record.rounds
        notes = entry.reply.notes
        assert notes["read"] == read[kind]
        assert info.card["umd.weights"] == which
        assert info.weights.name.startswith(which)
        assert (
            info.options
            == {"size": notes["size"]}
            == {"size": "large" if kind == "large" else "small"}
        )
        assert entry.targets["liver"].mask.voxels == (8 if kind == "large" else 1)
        has_warning = any("RANDOM WEIGHTS, NOT A RESULT" in line for line in header(run))
        assert (
            has_warning
            == (kind == "random:small")
            == all(row.get("random_weights") for row in summarise(run))
        )
    assert (
        runs["published"].info().weights.sha256
        == runs["mounted"].info().weights.sha256
        == {"w.pth": SHA}
    )
    assert runs["random:small"].info().weights.sha256 == {}
    assert runs["random:small"].info().card["umd.weights.sha256"] == ""

    (folder / "w.pth").write_bytes(b"another checkpoint")
    with pytest.raises(ModelFilesError, match="the published weights of weighted have"):
        order("weighted", data, weights=str(folder))
    local = order("weighted", data, weights="published", engine="docker", accepted=accepted)
    assert local.name == runs["published"].name
    with pytest.raises(UserError, match="needs --weights FOLDER"):
        order("weighted", data, engine="local")
    (folder / "w.pth").write_bytes(BODY)
    (record,) = order("weighted", data, engine="local", weights=str(folder)).records()
    assert record.rounds[0].reply.notes["read"] == BODY.decode()


@pytest.mark.docker
def test_a_wrong_checkpoint_names_the_missing_keys(weighted, tmp_path):
    (weighted / "models/weighted/random_weights.py").write_text(SCRIPT.replace("random ", "wrong "))
    run = order("weighted", make_dataset(tmp_path / "data", ["a"], ("CT",)), weights="random")
    (record,) = run.records()
    prediction = record.rounds[0].targets["liver"]
    assert prediction.status == "crashed"
    assert (
        "WrongWeights: w.pth is no checkpoint of this network: 1 missing (a)" in prediction.detail
    )


@pytest.mark.docker
def test_a_bundle_needs_no_network(weighted, tmp_path, server):
    from click.testing import CliRunner

    from evaluator.cli.models import models

    bundle = tmp_path / "bundle"
    result = CliRunner().invoke(models, ["fetch", "weighted", "--into", str(bundle)])
    assert isinstance(result.exception, ModelFilesError)
    assert Server.seen == []
    result = CliRunner().invoke(
        models, ["fetch", "weighted", "--into", str(bundle), "--accept-licence", "CC-BY-NC-4.0"]
    )
    assert result.exit_code == 0, result.output
    requests = len(Server.seen)
    Server.files.clear()
    built = build(Weights(kind="published"), bundle=bundle)
    assert built.weights == {"w.pth": SHA}
    assert len(Server.seen) == requests
    image = ImagePlatform(flavour="cpu")
    digest = load_base(bundle, "base", image, BuildClient())
    assert (
        digest
        == json.loads((bundle / "images/images.json").read_text())[f"base-{image.name}.tar"]["id"]
    )
    (bundle / "weighted/weights/w.pth").write_bytes(b"damaged")
    (weighted / "models/weighted/adapter.py").write_text(ADAPTER + "\n# another image\n")
    with pytest.raises(ModelFilesError, match="was changed"):
        build(Weights(kind="published"), bundle=bundle)
    with pytest.raises(ModelFilesError, match="umd models fetch weighted --into BUNDLE"):
        build(Weights(kind="published"), bundle=tmp_path / "empty")
