"""Each failure of a model has its status, and the rest of the run succeeds."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from tests.conftest import order
from tests.tiny import PAINTER, add_model, make_dataset

BAD = """
import os, sys, time
import numpy as np
from zoo_sdk import output_folder
from zoo_sdk import nifti
from zoo_sdk.wire import Reply

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        target = request.targets[0]
        how, grid = target.name, request.grid
        good = np.ones(grid.shape, np.uint8)
        folder = output_folder() / request.id
        folder.mkdir(exist_ok=True)
        path = folder / (how + ".nii.gz")

        if how == "crash": os._exit(3)
        if how == "hang": time.sleep(3600)
        if how == "raises": raise RuntimeError("no such layer")
        if how == "nothing": return {}
        if how == "memory":
            hog = []
            while True: hog.append(np.ones(2**24))
        if how == "flood":
            for n in range(10**6):
                (folder / str(n)).write_bytes(bytes(2**20))
                time.sleep(0.005)
        if how == "folders":
            here = os.getcwd()
            os.chdir(folder)
            for _ in range(1500):
                os.mkdir("d")
                os.chdir("d")
            os.chdir(here)
        if how == "noise":
            print("progress: 100%" * 1000)
            sys.stdout.flush()
            os.write(1, b"{not a reply}\\n")
        if how in OWN:
            shape, affine, letter, data = OWN[how](grid, good)
            nifti.write(path, shape, affine, letter, data)
            return Reply(request.id)
        if how == "link":
            path.symlink_to("/etc/passwd")
            return Reply(request.id)
        return {how: good}

EYE = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
OWN = {
    "wrong-grid": lambda g, m: ((10, 10, 10), g.affine, "B", bytes(1000)),
    "wrong-affine": lambda g, m: (g.shape, EYE, "B", bytes(m.size)),
    "labelmap": lambda g, m: (g.shape, g.affine, "B", b"\\5" * m.size),
    "nan": lambda g, m: (g.shape, g.affine, "f", np.full(m.size, np.nan, np.float32).tobytes()),
}

# these files and replies do not pass through the SDK, which would refuse them
serve = sys.modules["__main__"]
honest = serve.answer

RAW = {
    "too-large-a-number": '{"id": "%s", "seconds": {"infer": 1e999}}',
    "too-deep": '{"id": "%s", "notes": {"a": ' + "[" * 50000 + "]" * 50000 + "}}",
}
say, raw = serve._say, []

def answer(adapter, name):
    request = serve._read_request(name)
    how = request.targets[0].name
    if how in [*OWN, "link"]:
        return serve._finish(adapter.predict(request))
    reply = honest(adapter, name)
    if how in RAW:
        raw.append(RAW[how] % name)
        (output_folder() / name / "reply.json").write_text(raw[0])
    return reply

def say_raw(replies, body):
    if raw:
        replies.write(raw.pop() + chr(10))
        replies.flush()
    else:
        say(replies, body)

serve.answer, serve._say = answer, say_raw
"""

STATUSES = {
    "crash": "crashed",
    "hang": "timeout",
    "raises": "error",
    "nothing": "error",
    "memory": "out-of-memory",
    "flood": "too-large",
    "noise": "ok",
    "wrong-grid": "wrong-shape",
    "wrong-affine": "wrong-affine",
    "labelmap": "wrong-values",
    "nan": "wrong-values",
    "link": "unsafe-file",
    "too-large-a-number": "error",
    "too-deep": "error",
    "folders": "ok",
    "good": "ok",
}


@pytest.fixture
def bad_data(tmp_path):
    """A subject for each behaviour, with a good one after each.

    The name of the target is the behaviour.
    """
    import shutil

    rows, header = [], None
    for n, behaviour in enumerate(STATUSES):
        for name in dict.fromkeys((behaviour, "good")):
            folder = tmp_path / f"{n}-{name}"
            make_dataset(folder, [f"{n:02d}-{name}-{behaviour}"], ("CT",), (name,))
            header, row = (folder / "tiny.tsv").read_text().splitlines()
            rows.append(row)
            (tmp_path / "all").mkdir(exist_ok=True)
            for file in folder.glob("*_image.nii.gz"):
                image = nibabel.load(file)
                voxels = np.asarray(image.dataobj) + len(rows)  # two equal images are an error
                nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), file)
            for file in folder.glob("*.nii.gz"):
                shutil.move(file, tmp_path / "all")
            toml = (folder / "tiny.toml").read_text()
    (tmp_path / "all" / "tiny.tsv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "all" / "tiny.toml").write_text(toml)
    return tmp_path / "all" / "tiny.toml"


@pytest.mark.docker
@pytest.mark.parametrize(
    "batch", [False, pytest.param(True, marks=pytest.mark.extended)], ids=["session", "batch"]
)
def test_each_failure_has_its_status(project, bad_data, docker_engine, batch, monkeypatch):
    from evaluator.containers import model_limits

    monkeypatch.setattr(model_limits, "OUTPUT_LIMIT", 2**26)
    project({"bad": BAD}, memory="192MiB")
    run = order("bad", bad_data, batch=batch, timeout=4.0)
    statuses = {}
    for record in run.records():
        ((target, prediction),) = record.rounds[0].targets.items()
        if target == "good":
            assert prediction.status == "ok", (record.case, prediction)
        else:
            statuses[target] = prediction.status
    assert statuses == {
        behaviour: status for behaviour, status in STATUSES.items() if behaviour != "good"
    }
    rows = run.path.joinpath("scores.csv").read_text().splitlines()
    assert len(rows) == 1 + (2 * len(STATUSES) - 1) * len(run.info().protocol.metrics)
    assert docker_engine._labelled(f"umd.run={run.name}") == []


@pytest.mark.docker
@pytest.mark.parametrize("behaviour", ["hang", "flood"])
def test_a_container_past_its_limit_is_removed_before_its_scan_ends(
    project, bad_data, docker_engine, monkeypatch, behaviour
):
    """The container ends with all its processes, and not only the wait of the client."""
    from evaluator.containers import model_limits
    from evaluator.evaluation.run import run_model
    from evaluator.evaluation.run_config import RunConfig

    monkeypatch.setattr(model_limits, "OUTPUT_LIMIT", 2**25)
    project({"bad": BAD}, memory="192MiB")
    containers = []
    run = run_model(
        RunConfig(
            model="bad",
            dataset=str(bad_data),
            protocol="point-1",
            cases=(f"*{behaviour}-{behaviour}*",),
            timeout=3.0,
            recheck=0,
        ),
        progress=lambda *_: containers.extend(docker_engine._labelled("umd.run")),
    )
    (record,) = run.records()
    (entry,) = record.rounds
    statuses = [prediction.status for prediction in entry.targets.values()]
    assert statuses == [STATUSES[behaviour]]
    assert run.name not in [container.labels["umd.run"] for container in containers]


@pytest.mark.docker
def test_a_failure_on_a_full_disk_is_an_error_of_the_host(
    project, bad_data, docker_engine, monkeypatch
):
    """The free space is always too small: the host has the error, and good masks stay."""
    from evaluator.containers import answers
    from evaluator.errors import HostError

    project({"bad": BAD})
    good = order("bad", bad_data, cases=("*good-good*", "*noise-noise*"), name="full")
    monkeypatch.setattr(answers, "MIN_FREE_BYTES", 2**62)
    for behaviour in ("raises", "nothing", "labelmap", "crash"):
        with pytest.raises(HostError, match="free some space and run again"):
            order("bad", bad_data, cases=(f"*{behaviour}-{behaviour}*", "*good-good*"), name="full")
    statuses = set()
    for record in good.records():
        statuses.update(prediction.status for prediction in record.rounds[0].targets.values())
    assert statuses == {"ok"}


FAILING_SETUP = (
    "class Adapter:\n    def setup(self):\n        raise OSError('no weights at /opt/ml/model')\n"
)


@pytest.mark.docker
def test_a_model_whose_setup_fails_is_not_started_for_every_scan(project, tmp_path, docker_engine):
    project({"failing-setup": FAILING_SETUP})
    run = order("failing-setup", make_dataset(tmp_path / "data", list("abcdef")))
    predictions = [record.rounds[0].targets["liver"] for record in run.records()]
    assert [prediction.status for prediction in predictions] == ["crashed"] * 12
    assert all("no weights at /opt/ml/model" in prediction.detail for prediction in predictions)
    assert sum("not started again" in prediction.detail for prediction in predictions) == 10


@pytest.mark.docker
def test_a_failed_build_reports_the_cause(project, tmp_path, docker_engine):
    from evaluator.errors import BuildError

    folder = project({})
    add_model(folder, "broken", PAINTER)
    file = folder / "dockerfiles/broken.Dockerfile"
    file.write_text(file.read_text().replace("ENTRYPOINT", "RUN cat /no/such/file\nENTRYPOINT"))
    with pytest.raises(BuildError, match="/no/such/file"):
        order("broken", make_dataset(tmp_path / "data", ["a"]))
