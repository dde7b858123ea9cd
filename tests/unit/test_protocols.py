"""Protocols: read, complete, immutable."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError
from evaluator.manifests.protocols import content_sha256, load_protocol, locked_hashes, protocol_ids
from evaluator.types import PromptPlan

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = paths.project() / "manifests" / "protocols"

MINIMAL = """
id = "mine"
title = "Mine"
description = "One point."
metrics = ["dice"]
distance_cap_mm = 500.0
[prompts]
kinds = ["point"]
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_lock_holds_every_protocol_as_it_is() -> None:
    hashes = {
        path.stem: content_sha256(tomllib.loads(path.read_text())) for path in FOLDER.glob("*.toml")
    }
    assert hashes == locked_hashes(), (
        "a changed protocol is a new protocol; a new one needs its line in protocols.lock"
    )


def test_the_lock_has_not_been_rewritten() -> None:
    """Hashes of the first release: they never change, so lock and file cannot change together."""
    assert (
        locked_hashes()["paper"]
        == "1f12a7422522a54ec272c21c900b37db5cc5f7dfaa7e51e71721a419ee2ee36c"
    )
    assert (
        locked_hashes()["point-1"]
        == "8a4e38fce67359496aa3e636abc75e284ec57a0b11aa2839e9207c257f9d0a77"
    )


def test_all_expected_protocols_exist() -> None:
    expected = {
        "paper",
        "point-1",
        "point-3",
        "point-5",
        "box",
        "text",
        "box-clicks-5",
        "clicks-10",
        "scribble-5",
    }
    expected |= {
        "robust-point",
        "robust-box",
        "robust-seeds",
        "robust-text",
        "robust-outside",
        "cvpr25",
    }
    assert expected <= set(protocol_ids())


@pytest.mark.parametrize("name", protocol_ids())
def test_each_protocol_loads_and_is_described(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.id == name
    assert len(protocol.description.split()) > 30
    assert protocol.sha256 == locked_hashes()[name]
    assert protocol.metrics[0] == "dice"


def test_paper_is_one_deterministic_point_or_the_name() -> None:
    paper = load_protocol("paper")
    assert paper.prompts == PromptPlan(kinds=("point", "text", "class"))
    assert paper.metrics == ("dice", "nsd", "hd95", "assd", "rve")
    assert paper.seeds == (0,)
    assert paper.rounds.count == 1


def test_variants_are_one_for_each_seed() -> None:
    protocol = load_protocol("robust-box")
    assert [protocol.prompts_of(seed).box_growth for seed in protocol.seeds] == [
        -0.2,
        -0.1,
        0.0,
        0.1,
        0.2,
    ]
    assert load_protocol("box").prompts_of(0) == load_protocol("box").prompts


def test_prompts_of_robustness_protocols() -> None:
    outside, text = load_protocol("robust-outside"), load_protocol("robust-text")
    assert [outside.prompts_of(seed).point_outside_mm for seed in outside.seeds] == [
        0,
        5,
        5,
        10,
        10,
        20,
        20,
    ]
    assert [text.prompts_of(seed).text_of for seed in text.seeds] == [
        "own",
        "other",
        "other",
        "other",
    ]
    point = load_protocol("robust-point")
    assert [point.prompts_of(seed).point_offset_mm for seed in point.seeds] == [0] * 3 + [2] * 3 + [
        5
    ] * 3 + [10] * 3
    assert len(load_protocol("robust-seeds").seeds) == 10
    assert load_protocol("robust-seeds").prompts.point_rule == "random"


def test_shared_clicks_differ_only_in_the_clicks() -> None:
    separate, shared = (
        load_protocol("box-clicks-5").rounds,
        load_protocol("box-clicks-5-shared").rounds,
    )
    assert replace(separate, clicks="shared") == shared


def test_an_unknown_id_suggests_similar_ones() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no protocol named 'piont-1'; did you mean .*point-1"
    ):
        load_protocol("piont-1")


def test_a_protocol_can_be_a_path(tmp_path: Path) -> None:
    protocol = load_protocol(written(tmp_path, MINIMAL))
    assert (protocol.id, protocol.prompts.kinds) == ("mine", ("point",))


def test_a_known_id_with_different_content_is_refused(tmp_path: Path) -> None:
    changed = (FOLDER / "paper.toml").read_text().replace("points = 1", "points = 2")
    with pytest.raises(ManifestError, match="A changed protocol is a new protocol"):
        load_protocol(written(tmp_path, changed))


def test_layout_and_comments_do_not_change_a_protocol(tmp_path: Path) -> None:
    commented = "# a comment\n\n" + (FOLDER / "paper.toml").read_text().replace(
        "points = 1", "points   =   1 # one"
    )
    assert load_protocol(written(tmp_path, commented)).sha256 == load_protocol("paper").sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kinds = ["point"]', 'kinds = ["scribble"]', "prompts.kinds"),
        ('kinds = ["point"]', 'kinds = ["point"]\npionts = 2', "pionts"),
        ('kinds = ["point"]', 'kinds = ["point"]\n[rounds]\ncount = 3', "a correction"),
        (
            'kinds = ["point"]',
            'kinds = ["point"]\n[rounds]\ncorrection = "scribble"',
            "more than one round",
        ),
        (
            'kinds = ["point"]',
            'kinds = ["point"]\n[[variants]]\npoints = 2\n[[variants]]\npoints = 3',
            "each seed needs one",
        ),
        ('id = "mine"', 'id = "Mine!"', "id"),
        ('metrics = ["dice"]', 'metrics = ["dice"]\nseeds = [1, 1]', "seeds must not be repeated"),
        ('id = "mine"', "id = mine", "not TOML"),
        (
            'kinds = ["point"]',
            'kinds = ["point"]\npoints = 2\npoint_outside_mm = 5.0',
            "needs exactly one point",
        ),
        ('kinds = ["point"]', 'kinds = ["box"]\nbox_rule = "loose"', "box_rule"),
    ],
)
def test_messages_name_the_wrong_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ManifestError, match=message):
        load_protocol(written(tmp_path, MINIMAL.replace(old, new)))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_protocol(str(tmp_path / "none.toml"))


def test_the_id_must_be_the_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "manifests" / "protocols"
    folder.mkdir(parents=True)
    (tmp_path / "manifests" / "protocols.lock").write_text("")
    (folder / "yours.toml").write_text(MINIMAL)
    monkeypatch.setenv("UMD_PROJECT", str(tmp_path))
    with pytest.raises(ManifestError, match="must be the file's name"):
        load_protocol("yours")
