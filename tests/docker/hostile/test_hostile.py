"""Hostile models get their status, learn nothing of the references, and leave the host as it was."""

from __future__ import annotations

import gzip

import pytest

from evaluator import paths
from evaluator.containers import model_limits
from tests.docker.hostile import canary, model
from tests.docker.hostile.expected import EXPECTED
from tests.docker.hostile.zoo import OUTPUT_LIMIT, add_adversary, run_attacks

USUAL = [name for name, expected in EXPECTED.items() if not expected.extended]
FURTHER = [name for name, expected in EXPECTED.items() if expected.extended]


def test_every_attack_is_expected():
    assert set(EXPECTED) == set(model.ATTACKS)
    assert len(EXPECTED) >= 40


def test_the_canary_is_found_where_it_is(tmp_path):
    """The searches inside and outside of a container would see a leak."""
    assert model.CANARY.decode() == canary.CANARY
    assert canary.CANARY not in (tmp_path / "nothing").name
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
        assert model.search([str(tmp_path)])["hits"]
        plain.unlink()
    assert {path.suffix for path in references} == {".gz", ".nii"}


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
