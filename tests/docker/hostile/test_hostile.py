"""Hostile models get their status, learn nothing of references, and leave the host as it was."""

from __future__ import annotations

import gzip
import importlib
import re
import sys
import zipfile
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.containers import model_limits
from tests.docker.hostile import canary
from tests.docker.hostile.expected import EXPECTED
from tests.docker.hostile.zoo import OUTPUT_LIMIT, add_adversary, faults_of_files, run_attacks

USUAL = [name for name, expected in EXPECTED.items() if expected.usual]
FURTHER = [name for name, expected in EXPECTED.items() if not expected.usual]


IMAGE = Path(__file__).with_name("image")


@pytest.fixture
def reading(monkeypatch):
    """The search for the canary that runs in containers."""
    monkeypatch.syspath_prepend(str(IMAGE))
    yield importlib.import_module("reading")
    sys.modules["request"].REPLIES.close()
    for name in [path.stem for path in IMAGE.glob("*.py")]:
        sys.modules.pop(name, None)


def test_every_attack_is_expected():
    """Each entry of a literal dict ATTACKS in the image has its expected outcome."""
    text = "".join(path.read_text().partition("\nATTACKS = {")[2] for path in IMAGE.glob("*.py"))
    assert set(re.findall(r'^    "([a-z0-9-]+)":', text, re.MULTILINE)) == set(EXPECTED)
    assert len(EXPECTED) >= 40


def test_the_canary_is_found_where_it_is(tmp_path, reading):
    """The searches inside and outside of a container would see a leak."""
    assert reading.CANARY.decode() == canary.CANARY
    data = canary.make_dataset(tmp_path / "data", ["snoop"])
    references = list(data.parent.glob("*reference*"))
    for path in references:
        plain = tmp_path / ("x" + "".join(path.suffixes))
        plain.write_bytes(path.read_bytes())
        content = plain.read_bytes()
        # in the voxels, too, and not in the header alone
        voxels = (gzip.decompress(content) if path.suffix == ".gz" else content)[352:]
        assert canary.CANARY.encode() in voxels
        assert canary.find_canary([plain]) == [str(plain)]
        assert reading.search([str(tmp_path)])["hits"]
        plain.unlink()
    assert {path.suffix for path in references} == {".gz", ".nii"}


@pytest.mark.parametrize("name", ["masks.zip", "model.log"])
def test_a_canary_in_a_mask_or_a_log_of_a_run_is_found(tmp_path, name):
    """Masks lie in a folder with the name of their subject, which holds the canary, too."""
    path = tmp_path / f"masks/{canary.CANARY}-000-0.a" / name
    path.parent.mkdir(parents=True)

    def write(content: bytes) -> None:
        if path.suffix == ".log":
            path.write_bytes(content)
            return
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s0/r0/liver.nii.gz", gzip.compress(content))

    write(b"voxels")
    assert faults_of_files(tmp_path) == []
    write(canary.CANARY.encode())
    (fault,) = faults_of_files(tmp_path)
    assert fault.startswith("the canary is in")


@pytest.fixture
def adversary(project, docker_engine, monkeypatch, tmp_path):
    add_adversary(project({}))
    monkeypatch.setattr(model_limits, "OUTPUT_LIMIT", OUTPUT_LIMIT)

    def attack(attacks, **more):
        outcomes, changes = run_attacks(
            attacks, tmp_path / "zoo", docker_engine, paths.cache(), **more
        )
        bad = [outcome for outcome in outcomes if not outcome.held]
        assert bad == []
        assert changes == []
        assert len(outcomes) == len(attacks)

    return attack


@pytest.mark.docker
@pytest.mark.slow
def test_attacks(adversary):
    adversary(USUAL)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.extended
def test_further_attacks(adversary):
    adversary(FURTHER)
