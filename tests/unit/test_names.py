"""Names of targets: found in any spelling, reported where unknown, never rewritten silently."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluator.cli.main import umd
from evaluator.datasets import load_dataset
from evaluator.datasets.verify import verify
from evaluator.errors import ManifestError
from evaluator.evaluation.plan import target_refusal
from evaluator.manifests.case_lists import parse_labels
from evaluator.manifests.datasets import read_dataset_manifest
from evaluator.manifests.organs import load_organs
from evaluator.manifests.protocols import load_protocol
from evaluator.scoring.masks import tolerances
from evaluator.zoo import find_model
from tests.tiny import ROOT, make_dataset

SPELLINGS = {
    "Liver": "liver", "SPLEEN": "spleen", "kidney_left": "kidney-left",
    "left kidney": "kidney-left", "Kidney Right": "kidney-right", "Urinary_Bladder": "bladder",
    "oesophagus": "esophagus", "Tumour": "lesion", " liver ": "liver",
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_is_the_organ(spelling):
    organs, name = load_organs(), SPELLINGS[spelling]
    assert organs.find(spelling) == name
    assert organs.tolerance_mm(spelling) == organs.tolerance_mm(name)
    assert organs.texts(spelling) == organs.texts(name)
    assert organs.kind(spelling) == organs.kind(name)
    assert tolerances(load_protocol("paper"), [spelling])[spelling] == organs.tolerance_mm(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("Lung-Left", "lung"), ("gallbladder", "bladder"), ("panceras", "pancreas"), ("GTV-1", None)],
)
def test_an_unknown_name_has_near_misses(name, near):
    organs = load_organs()
    assert organs.find(name) is None
    assert organs.tolerance_mm(name) == organs.default_tolerance_mm
    assert (near in organs.near(name)) if near else organs.near(name) == ()


def test_every_organ_is_itself_and_no_two_share_a_spelling():
    organs = load_organs()
    for name, organ in organs.organs.items():
        for word in (name, *organ.texts):
            assert organs.find(word) == name, word


def test_verify_tells_names(tmp_path):
    data = make_dataset(tmp_path / "d", ["a"], ("CT", "PT"), ("Liver", "Lung-Left"))
    names = [finding for finding in verify(load_dataset(data)) if finding.topic == "names"]
    messages = {finding.severity: finding.message for finding in names}
    assert "target Liver is taken as liver, whose NSD tolerance is 5 mm" in messages["note"]
    assert "Lung-Left (similar: lung)" in messages["warning"]
    assert "Liver" not in messages["warning"]


def test_the_command_lists_names_and_explains_one():
    rows = [
        json.loads(line)
        for line in CliRunner().invoke(umd, ["organs", "--json"]).output.splitlines()
    ]
    assert [row["organ"] for row in rows] == list(load_organs().names())
    assert all(row["source"] and row["synonyms"] for row in rows)
    output = CliRunner().invoke(umd, ["organs", "kidney_left", "Lung-Left"]).output
    assert "FLARE22" in output
    assert "Lung-Left is not known" in output
    assert "similar: lung" in output


@pytest.mark.parametrize("text", ["left kidney=1", "liver=1;portal vein=2", "Nebenniere\u00fc=1"])
def test_a_target_with_other_characters_is_refused_with_a_proposal(text):
    with pytest.raises(ValueError, match="without spaces; write "):
        parse_labels(text, {})


def test_spaces_around_names_and_numbers_are_no_part_of_them():
    assert parse_labels(" liver = 1 ; lung = 2 , 3 ", {}) == {"liver": (1,), "lung": (2, 3)}


def test_labels_that_no_file_can_hold_are_refused():
    with pytest.raises(ValueError, match="labels up to 2\\^63 - 1"):
        parse_labels("liver=99999999999999999999", {})


def test_quotes_of_spreadsheets_are_no_part_of_a_field(tmp_path):
    data = make_dataset(tmp_path / "d", ["a"])
    path = data.with_suffix(".tsv")
    plain = read_dataset_manifest(data).rows
    header, *lines = path.read_text().splitlines()
    quoted = ["\t".join(f'"{field}"' for field in line.split("\t")) for line in lines]
    path.write_text("\n".join([header, *quoted]) + "\n")
    assert read_dataset_manifest(data).rows == plain


def test_two_targets_with_the_same_labels_are_told(tmp_path):
    data = make_dataset(tmp_path / "d", ["a"], ("CT",))
    path = data.with_suffix(".tsv")
    path.write_text(path.read_text().replace("liver=1", "liver=1;spleen=1"))
    messages = [finding.message for finding in verify(load_dataset(data))]
    assert any("liver and spleen have the same labels in" in message for message in messages)


def test_faults_of_a_protocol_are_told_by_field(tmp_path):
    text = (ROOT / "manifests/protocols/paper.toml").read_text().replace('"paper"', '"mine"')
    text = text.replace("distance_cap_mm = 500.0", "distance_cap_mm = nan")
    (tmp_path / "mine.toml").write_text(text + "\nspeed = 3\n")
    with pytest.raises(ManifestError) as refused:
        load_protocol(str(tmp_path / "mine.toml"))
    first, *faults = str(refused.value).splitlines()
    assert first.endswith("mine.toml is not valid:")
    assert sorted(map(str.strip, faults)) == [
        "distance_cap_mm: should be a finite number",
        "prompts.speed: is not known",
    ]


def test_a_subject_with_a_space_is_told_the_rule(tmp_path):
    data = make_dataset(tmp_path / "d", ["a"])
    path = data.with_suffix(".tsv")
    path.write_text(path.read_text().replace("\na\t", "\nJane D\t"))
    with pytest.raises(ManifestError, match=r"letters, digits and the characters.*write Jane-D"):
        read_dataset_manifest(data)


def test_files_with_a_byte_order_mark_are_read(tmp_path):
    data = make_dataset(tmp_path / "d", ["a"])
    plain = read_dataset_manifest(data).name
    data.write_bytes(b"\xef\xbb\xbf" + data.read_bytes())
    assert read_dataset_manifest(data).name == plain
    data.write_bytes(data.read_text(encoding="utf-8-sig").encode("utf-16"))
    with pytest.raises(ManifestError, match="save it as UTF-8"):
        read_dataset_manifest(data)
    protocol = tmp_path / "mine.toml"
    shipped = ROOT / "manifests/protocols/paper.toml"
    protocol.write_bytes(b"\xef\xbb\xbf" + shipped.read_bytes().replace(b"paper", b"mine"))
    assert load_protocol(str(protocol)).id == "mine"


def test_a_refusal_says_how_the_model_calls_the_organ():
    card = find_model("totalsegmentator").card
    refused = target_refusal(card, "Liver")
    assert refused is not None
    assert "it lists liver: rename the target" in refused.detail
    assert target_refusal(card, "liver") is None
    gross = target_refusal(card, "GTV-1")
    assert gross is not None
    assert "rename" not in gross.detail


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        ("lung", "lung"), ("Lung-Left", "lung"), ("lung_right", "lung"), ("Liver", "liver"),
        ("kidney left", "kidney-left"), ("lesion", "lesion"), ("GTV-1", None), ("mass", None),
    ],
)  # fmt: skip
def test_threshold_has_no_window_for_a_name_that_it_does_not_know(name, organ, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "models" / "sdk"))
    path = Path(ROOT) / "models" / "threshold" / "adapter.py"
    spec = importlib.util.spec_from_file_location("threshold_adapter", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "threshold_adapter", module)
    spec.loader.exec_module(module)
    assert module.organ_of(name) == organ
