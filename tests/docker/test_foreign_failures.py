"""Each failure of an image of another convention has the status that an image of ours would have.

One image serves all conventions. What it does is named by a file beside its input; what it does at
its start, by a file beside its weights. No run is made: a request goes to one container. Docker and
Podman give the same statuses.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import SimpleITK

from evaluator.containers import StartHistory, answer_batch, session_of
from evaluator.containers.contracts import API_LABEL, INVOKE, SOCKETS_LABEL, contract_of
from evaluator.containers.engines import open_engine
from evaluator.containers.engines.spec import RUN_LABEL, Limits, Model
from evaluator.containers.requests import InputImage, ModelRequest, RequestTarget, ScanInput
from evaluator.containers.workspace import workspace_of
from evaluator.errors import UserError
from evaluator.evaluation.model_connection import connect
from evaluator.types import Failure, RoundPlan
from evaluator.volumes import MaskValidator, write_volume
from evaluator.volumes.mha import write_mha
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.cards import parse_card
from evaluator.zoo.conformance.checks import check_model
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.engine_images import open_image_store
from evaluator.zoo.registered_images import add_image
from tests.conftest import skip_outside_ci
from tests.tiny import GRIDS

GRID = GRIDS["CT"]
TAG = "umd-test/foreign-failures:v1"
SMALL_TAG = "umd/foreign-failures-small:1"
SOCKETS = {
    "inputs": {
        "ct": {"path": "images/ct", "modality": "CT"},
        "clicks": {"path": "clicks.json"},
    },
    "outputs": {"organ": {"path": "images/organ", "targets": {"*": 1}}},
}

SOCKETS_TOML = """
[inputs.ct]
path = "images/ct"
modality = "CT"
[inputs.clicks]
path = "clicks.json"
[outputs.organ]
path = "images/organ"
targets = { "*" = 1 }
"""

#: a process of each request; written from the conventions' rules
ONCE = """
set -e
if [ -d /workspace/inputs ] && [ -f /workspace/inputs/behaviour ]; then
  how=$(cat /workspace/inputs/behaviour); end=npz
  name=$(basename /workspace/inputs/*.npz .npz); folder=/workspace/outputs
else
  how=$(cat /input/behaviour); end=mha; name=any; folder=/output/images/organ
  mkdir -p $folder
fi
case $how in
  crash) echo "no such layer" >&2; exit 3 ;;
  hang) sleep 100 ;;
  memory)
    if command -v python3; then exec python3 -c "b'x' * 2**30"; fi
    head -c 1000000000 /dev/zero | tail -c 1000000000 > /dev/null ;;
  nothing) exit 0 ;;
  link) ln -s /etc/passwd $folder/$name.$end ;;
  flood) for n in 1 2 3 4 5 6 7 8; do head -c 20000000 /dev/zero > $folder/$n; sleep 0.2; done ;;
  *) cp /answers/$how.$end $folder/$name.$end ;;
esac
"""

SERVER = """
import http.server, os, pathlib, shutil, subprocess, sys, time

start = pathlib.Path("/opt/ml/model/start")
how = start.read_text() if start.exists() else ""
if how == "dies":
    sys.exit("no weights")
if how == "deaf":
    time.sleep(100)
served = []

class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        served.append(self.path)
        if how == "redirects":
            return self.reply(302)
        # not ready at first
        self.reply(200 if len(served) > 2 and how != "sick" else 503)

    def do_POST(self):
        assert not os.listdir("/output"), os.listdir("/output")
        how = pathlib.Path("/input/behaviour").read_text()
        if how == "500":
            return self.reply(500, b"Traceback: no such layer")
        if how == "closes":
            return None
        done = subprocess.run(["sh", "/once.sh"])
        if done.returncode:
            os._exit(done.returncode)
        self.reply(201)
        served.append(how)

http.server.HTTPServer(("", 4743), Handler).serve_forever()
"""

ENTRY = """
if [ $# -gt 0 ]; then exec "$@"; fi
if [ -f /input/inputs.json ]; then exec sh /once.sh; fi
exec python3 /server.py
"""

DOCKERFILE = """FROM umd/base
COPY answers /answers
COPY once.sh entry.sh server.py /
RUN mkdir -p /workspace && echo "exec sh /once.sh" > /workspace/predict.sh
WORKDIR /workspace
USER 1000:1000
ENTRYPOINT ["sh", "/entry.sh"]
"""

SMALL_DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin && mkdir -m 1777 /tmp"]
COPY once.sh /once.sh
USER 1000:1000
ENTRYPOINT ["/bin/sh", "/once.sh"]
"""


@pytest.fixture(scope="module")
def image(docker_engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("failures")
    builder = BuildClient(docker_engine.client)
    ensure_base("base", builder)
    answers = folder / "answers"
    answers.mkdir()
    mask = np.zeros(GRID.shape, np.uint8)
    mask[3:6, 4:8, 2:5] = 1
    arrays = {
        "good": mask,
        "empty": mask * 0,
        "grid": mask[1:],
        "decimals": mask.astype(np.float32) / 2,
        "other-labels": mask * 7,
    }
    for name, array in arrays.items():
        write_mha(answers / f"{name}.mha", mask.astype(np.float32), GRID)
        source = SimpleITK.ReadImage(str(answers / f"{name}.mha"))
        written = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        written.SetSpacing(source.GetSpacing())
        written.SetDirection(source.GetDirection())
        written.SetOrigin(source.GetOrigin())
        SimpleITK.WriteImage(written, str(answers / f"{name}.mha"))
        np.savez(answers / f"{name}.npz", segs=array.transpose(2, 1, 0))
    (answers / "broken.mha").write_bytes((answers / "good.mha").read_bytes()[:400])
    (answers / "broken.npz").write_bytes((answers / "good.npz").read_bytes()[:400])
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(answers / "objects.npz", segs=objects)
    for name, text in (("once.sh", ONCE), ("entry.sh", ENTRY), ("server.py", SERVER)):
        (folder / name).write_text(text)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    builder.build(folder, "Dockerfile", TAG, what="foreign failures", network=False)
    yield builder.find(TAG), mask
    docker_engine.client.images.remove(TAG, force=True)


@pytest.fixture(scope="module")
def podman_programs():
    for name in ("podman", "busybox"):
        if shutil.which(name) is None:
            skip_outside_ci(f"{name} is not installed; .ci/run installs it")


@pytest.fixture(scope="module")
def small_podman_image(podman_programs, tmp_path_factory):
    """An image of 2 MB in Podman that fails as the other one does; it has no answers."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copy(shutil.which("busybox"), folder / "busybox")
    (folder / "once.sh").write_text(ONCE)
    (folder / "Dockerfile").write_text(SMALL_DOCKERFILE)
    store = open_image_store("podman")
    return store.build(folder, "Dockerfile", SMALL_TAG, what="small image", network=False)


@pytest.fixture(scope="module")
def podman_image(podman_programs, image, docker_engine, tmp_path_factory):
    """The image of Docker in Podman, with the same id."""
    archive = tmp_path_factory.mktemp("saved") / "image.tar"
    BuildClient(docker_engine.client).save(TAG, archive)
    store = open_image_store("podman")
    assert store.load(archive) == [image[0]]
    archive.unlink()
    yield
    subprocess.run(["podman", "rmi", "--force", TAG], check=True, capture_output=True)


@pytest.fixture(scope="module")
def validator():
    with MaskValidator() as opened:
        yield opened


def card_of(kind):
    labels = {
        "umd.contract": "cvpr25" if kind == "cvpr25" else "grand-challenge",
        "umd.name": "failing",
        "umd.inputs": "CT",
        "umd.prompts": "point",
        SOCKETS_LABEL: json.dumps(SOCKETS),
    }
    return parse_card(labels | ({API_LABEL: INVOKE} if kind == "invoke" else {}))


def stage(contract, workspace, behaviours, image_file):
    """A request for each behaviour, which a file beside its input names."""
    scan_image = InputImage(source=image_file, unit="HU", name="a")
    scan = contract.stage_scan(ScanInput(pseudonym="p", images={"CT": scan_image}), workspace)
    for number, how in enumerate(behaviours):
        request = contract.stage_request(
            ModelRequest(id=f"r{number:05d}", round=0, targets=(RequestTarget(name="liver"),)),
            scan,
            workspace,
        )
        root = request.root or workspace.input
        file = root / "behaviour" if request.root else root / f"{how}-behaviour"
        file.write_text(how)
        yield request, file


@pytest.fixture(params=["docker", pytest.param("podman", marks=pytest.mark.extended)])
def engine(request):
    """The engines on which each failure has the same status."""
    if request.param == "podman":
        request.getfixturevalue("podman_image")
    return open_engine(request.param)


def left_behind(engine):
    """Containers of the requests that are still there."""
    if engine.name == "docker":
        return engine._labelled("umd.run=failures")
    containers = engine.dialect.containers()
    return [entry for entry in containers if entry.labels.get(RUN_LABEL) == "failures"]


@pytest.fixture
def ask(engine, image, validator, tmp_path):
    """``ask(kind, behaviours)``: behaviour -> mask or failure."""
    return asker(engine, image[0], validator, tmp_path)


def asker(engine, digest, validator, tmp_path):
    """The function that ``ask`` is, for one engine and image."""

    def start(kind, behaviours, begins="", **limits):
        card = card_of(kind)
        contract = contract_of(card)
        store = open_image_store(engine.name)
        relay = ensure_base("base", store) if kind == "invoke" else ""
        image_file = tmp_path / "ct.nii.gz"
        voxels = np.random.default_rng(0).integers(-100, 100, GRID.shape).astype(np.int16)
        write_volume(image_file, voxels, GRID)
        weights = tmp_path / "weights"
        weights.mkdir(exist_ok=True)
        (weights / "start").write_text(begins)
        model = Model(
            card=card,
            image=digest,
            digest=digest,
            adapter=None,
            weights=weights,
            layout=contract.layout,
            relay_image=relay,
        )

        def place():
            history = StartHistory()
            # other tests check that containers see the folders
            history.checked_gpus.add(None)
            return {"run_id": "failures", "log": tmp_path / "model.log", "history": history}

        def bounds(how):
            # a busy machine needs seconds to start a container
            seconds = (2.0, 1.0) if how == "hang" else (60.0, 60.0)
            timeout, begin = (seconds[0], 60.0) if kind == "invoke" else seconds
            usual = {"timeout": timeout, "startup": begin, "memory": 2**26, "output_bytes": 2**25}
            return Limits(**(usual | limits))

        def session(how):
            return session_of(card)(engine, model, workspace, bounds(how), **place())

        answers = {}
        with workspace_of(str(tmp_path)) as workspace:
            staged = list(stage(contract, workspace, behaviours, image_file))
            if kind == "invoke":
                with session("") as usual, session("hang") as impatient:
                    for how, (request, file) in zip(behaviours, staged, strict=True):
                        object.__setattr__(request, "files", (*request.files, file))
                        outcome = (impatient if how == "hang" else usual).ask(request)
                        answers[how] = read(contract, outcome, validator)
            else:
                for how, (request, file) in zip(behaviours, staged, strict=True):
                    shown = file if request.root else file.rename(file.with_name("behaviour"))
                    object.__setattr__(request, "files", (*request.files, shown))
                    (outcome,) = answer_batch(
                        engine, model, workspace, [request], bounds(how), **place()
                    )
                    answers[how] = read(contract, outcome, validator)
        assert left_behind(engine) == []
        return answers

    return start


def read(contract, outcome, validator):
    if outcome.failure or outcome.output is None:
        return outcome.failure
    mask = contract.read_mask(outcome.request, "liver", outcome.output, validator)
    return mask if isinstance(mask, Failure) else mask.to_array()


COMMON = {
    "good": "ok",
    "empty": "ok",
    "other-labels": "ok",
    "crash": "crashed",
    "memory": "out-of-memory",
    "hang": "timeout",
    "nothing": "missing",
    "grid": "wrong-shape",
    "decimals": "wrong-values",
    "broken": "unsafe-file",
    "link": "unsafe-file",
    "flood": "too-large",
}


def check(answers, expected, mask):
    statuses = {how: str(getattr(answer, "status", "ok")) for how, answer in answers.items()}
    assert statuses == expected, answers
    np.testing.assert_array_equal(answers["good"] > 0, mask > 0)
    for how in {"empty", "other-labels"} & set(expected):
        assert not answers[how].any()


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["exec", pytest.param("cvpr25", marks=pytest.mark.extended)])
def test_one_container_for_each_request(ask, image, kind):
    expected = dict(COMMON)
    if kind == "cvpr25":
        # the rest is the same code
        del expected["flood"], expected["other-labels"]
        expected["objects"] = "wrong-values"
    answers = ask(kind, list(expected))
    check(answers, expected, image[1])
    assert "it printed: no such layer" in answers["crash"].detail


@pytest.mark.podman
def test_podman_reports_each_end_of_a_container(
    small_podman_image, validator, tmp_path, monkeypatch
):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    ask = asker(open_engine("podman"), small_podman_image, validator, tmp_path)
    kinds = ("crash", "memory", "hang", "flood")
    answers = ask("exec", kinds)
    assert {how: str(failure.status) for how, failure in answers.items()} == {
        how: COMMON[how] for how in kinds
    }
    assert "it printed: no such layer" in answers["crash"].detail
    # the file oom, which conmon writes into the working folder
    assert list(work.iterdir()) == []


@pytest.mark.docker
def test_a_server(ask, image):
    expected = {**COMMON, "500": "error", "closes": "crashed"}
    ordered = []
    for how in expected:
        # a success after each failure, or the model would be given up
        ordered += [how, "good"]
    answers = ask("invoke", ordered)
    check(answers, expected, image[1])


@pytest.mark.docker
@pytest.mark.parametrize(
    ("begins", "status", "detail"),
    [
        ("dies", "crashed", "exit code 1; it printed: no weights"),
        pytest.param("deaf", "timeout", "Connection refused", marks=pytest.mark.extended),
        pytest.param("sick", "timeout", "GET /health answered 503", marks=pytest.mark.extended),
        pytest.param(
            "redirects",
            "crashed",
            "GET /health answered 302, a redirection",
            marks=pytest.mark.extended,
        ),
    ],
)
def test_a_server_that_does_not_get_ready(ask, begins, status, detail):
    seconds = 30.0 if begins == "dies" else 1.0
    failure = ask("invoke", ["good"], begins=begins, startup=seconds)["good"]
    assert str(failure.status) == status
    assert detail in failure.detail


def test_a_server_needs_a_session():
    card = card_of("invoke")
    model = Model(card=card, image="i", digest="d", adapter=None)

    class Engine:
        name = "podman"
        sessions = False

    arguments = {"run_id": "r", "log": None, "limits": Limits(timeout=1.0), "threads": None}
    for engine, batch, message in (
        (Engine(), False, "engine podman cannot attach"),
        (Engine(), True, "leave it out"),
    ):
        with pytest.raises(UserError, match=message):
            connect(engine, model, RoundPlan(count=1), batch=batch, **arguments)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("exec", "crashed: the model ended with exit code 1; it printed: cat: /input/behaviour"),
        ("invoke", "crashed: the server closed the connection without an answer"),
    ],
)
def test_a_check_names_the_step_that_fails(
    docker_engine, image, tmp_path, monkeypatch, kind, detail
):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    (tmp_path / "sockets.toml").write_text(SOCKETS_TOML)
    labels = {API_LABEL: INVOKE} if kind == "invoke" else {}
    name = f"failing-{kind}"
    add_image(
        name,
        TAG,
        BuildClient(docker_engine.client),
        contract="cvpr25" if kind == "cvpr25" else "grand-challenge",
        sockets=None if kind == "cvpr25" else str(tmp_path / "sockets.toml"),
    )
    definition = tmp_path / "models" / f"{name}.toml"
    lines = [f'"{key}" = "{value}"' for key, value in labels.items()]
    definition.write_text(definition.read_text() + "\n".join(lines) + "\n")
    results = list(check_model(name, "docker")[1])
    assert [result.ok for result in results] == [True] * 4 + [False]
    described, convention, *_, failed = results
    assert "user 1000:1000; entrypoint sh /entry.sh" in described.detail
    assert "named when the model was added" in convention.detail
    assert failed.check == "CT on an axis-aligned grid"
    assert detail in failed.detail
