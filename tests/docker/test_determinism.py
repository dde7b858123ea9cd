"""The same run at one and two threads, in containers and without, in a session and in batches: the same by hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from tests.conftest import order
from tests.docker.test_interaction import models
from tests.tiny import make_dataset

#: paints as many voxels of the organ as it has been asked questions: its answers hang on the order of the questions
COUNTS = (
    "self.before = (self.before or 0) + 1\n"
    "        mask = np.zeros_like(seen)\n"
    "        mask.reshape(-1)[np.flatnonzero(seen)[: self.before]] = True\n"
    "        return mask"
)


def sha256(folder, pattern):
    """One hash over names and contents."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        whole.update(
            str(path.relative_to(folder)).encode()
            + b"\0"
            + hashlib.sha256(path.read_bytes()).digest()
        )
    return whole.hexdigest()


def fingerprints(run):
    scores = (run.path / "scores.csv").read_text().replace(run.name, "run")
    return {
        "prompts": sha256(run.path / "prompts", "*.json"),
        "clicks": [record.clicks_sha256 for record in run.records()],
        "masks": sha256(run.path / "masks", "*.nii.gz"),
        "scores": hashlib.sha256(scores.encode()).hexdigest(),
    }


@pytest.mark.docker
@pytest.mark.parametrize("protocol", ["clicks-10", "robust-point"])
def test_threads_and_engines_change_nothing(project, tmp_path, docker_engine, protocol):
    project(models())
    data = make_dataset(tmp_path / "data", ["a", "b", "c"], ("CT", "MR", "PT"), ("liver", "spleen"))
    ways = [
        ("docker", 1, False),
        ("docker", 2, False),
        ("local", 1, False),
        ("local", 2, False),
        ("local", 2, True),
    ]
    made = [
        fingerprints(
            order(
                "paints",
                data,
                protocol,
                engine=engine,
                threads=threads,
                batch=batch,
                name=f"{engine}{threads}{batch}",
            )
        )
        for engine, threads, batch in ways
    ]
    assert all(one == made[0] for one in made)
    assert len(made[0]["clicks"]) == 9


def test_the_model_is_asked_in_one_order_at_any_number_of_threads(project, tmp_path):
    from tests.docker.test_interaction import MODEL

    project({"counts": MODEL.replace("BODY", COUNTS)})
    data = make_dataset(tmp_path / "data", ["a", "b", "c", "d"], ("CT", "PT"))
    made = [
        fingerprints(
            order("counts", data, "clicks-10", engine="local", threads=threads, name=f"t{threads}")
        )
        for threads in (1, 2, 4)
    ]
    assert made[0] == made[1] == made[2]


def test_another_process_draws_the_same(project, tmp_path):
    """Prompts and clicks of a run in a process with another hash seed and other thread settings of its libraries."""
    project(models())
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    code = (
        "import sys; from tests.conftest import order; from tests.docker.test_determinism import fingerprints;"
        f"print(fingerprints(order('paints', {str(data)!r}, 'clicks-10', engine='local', name=sys.argv[1])))"
    )
    told = set()
    for seed, threads in (("1", "1"), ("2", "2")):
        settings = {
            "PYTHONHASHSEED": seed,
            "OMP_NUM_THREADS": threads,
            "NUMBA_NUM_THREADS": threads,
        }
        done = subprocess.run(
            [sys.executable, "-c", code, f"p{seed}"],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(done.stdout)
    assert len(told) == 1
