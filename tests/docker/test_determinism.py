"""A run is equal by hash at any number of threads, with any engine, in session and in batch."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys

import pytest

from tests.conftest import order
from tests.docker.test_interaction import models
from tests.tiny import make_dataset

#: paints as many voxels of the organ as it has had requests, so masks depend on their order
COUNTS = (
    "self.before = (self.before or 0) + 1\n"
    "        mask = np.zeros_like(seen)\n"
    "        mask.reshape(-1)[np.flatnonzero(seen)[: self.before]] = True\n"
    "        return mask"
)


def sha256(folder, pattern):
    """SHA-256 over the names and contents of the files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        digest.update(
            str(path.relative_to(folder)).encode() + b"\0" + hashlib.sha256(_content(path)).digest()
        )
    return digest.hexdigest()


def _content(path):
    """The content of a file, decompressed: one content has several compressed forms."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def masks_of(run):
    """SHA-256 of the voxels of each mask: one content has several compressed forms."""
    return {
        mask.file: hashlib.sha256(gzip.decompress(run.masks.content(mask.file))).hexdigest()
        for record in run.records()
        for mask in record.masks()
    }


def fingerprints(run):
    scores = (run.path / "scores.csv").read_text().replace(run.name, "run")
    return {
        "prompts": sha256(run.path / "prompts", "*.json"),
        "clicks": [record.clicks_sha256 for record in run.records()],
        "masks": masks_of(run),
        "scores": hashlib.sha256(scores.encode()).hexdigest(),
    }


@pytest.mark.docker
@pytest.mark.parametrize(
    "protocol", ["clicks-10", pytest.param("robust-point", marks=pytest.mark.extended)]
)
def test_threads_and_engines_change_nothing(project, tmp_path, docker_engine, protocol):
    project(models())
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen"))
    settings = [
        ("docker", 1, False),
        ("docker", 2, False),
        ("local", 1, False),
        ("local", 2, False),
        ("local", 2, True),
    ]
    results = [
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
        for engine, threads, batch in settings
    ]
    assert all(fingerprint == results[0] for fingerprint in results)
    assert len(results[0]["clicks"]) == 4


def test_requests_have_the_same_order_at_any_number_of_threads(project, tmp_path):
    from tests.docker.test_interaction import MODEL

    project({"counts": MODEL.replace("BODY", COUNTS)})
    data = make_dataset(tmp_path / "data", ["a", "b", "c", "d"], ("CT", "PT"))
    results = [
        fingerprints(
            order("counts", data, "clicks-10", engine="local", threads=threads, name=f"t{threads}")
        )
        for threads in (1, 2, 4)
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.extended
def test_a_second_process_draws_equal_prompts(project, tmp_path):
    """The processes differ in their hash seed and in the thread settings of their libraries."""
    project(models())
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    code = (
        "import sys; from tests.conftest import order;"
        "from tests.docker.test_determinism import fingerprints;"
        f"run = order('paints', {str(data)!r}, 'clicks-10', engine='local', name=sys.argv[1]);"
        "print(fingerprints(run))"
    )
    outputs = set()
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
        outputs.add(done.stdout)
    assert len(outputs) == 1
