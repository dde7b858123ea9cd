"""Models of the user with a Dockerfile: their cards, their identity, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from docker.errors import APIError

from evaluator.errors import HostError, ManifestError, UserError
from evaluator.zoo import find_model, zoo
from evaluator.zoo.catalog import broken_models, hash_files, local_digest
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.foreign_cards import CARD_KEYS, card_labels
from evaluator.zoo.registered_images import add_image
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

DOCKERFILE = """FROM umd/base
COPY adapter.py /opt/model/adapter.py
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]
LABEL umd.contract="1" umd.inputs="CT" umd.prompts="point,box" umd.session="stdio"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path / "models"))
    place = tmp_path / "models" / "mine"
    place.mkdir(parents=True)
    (place / "Dockerfile").write_text(DOCKERFILE)
    (place / "adapter.py").write_text(PAINTER)
    return place


def test_labels_and_card_file_make_the_card(folder):
    assert find_model("mine").card.inputs == (("CT",),)
    assert find_model("mine").card.title == "mine"
    (folder / "card.toml").write_text('inputs = "CT | PT"\ntitle = "Mine"\n')
    card = find_model("mine").card
    assert (card.inputs, card.title, card.contract) == ((("CT",), ("PT",)), "Mine", "1")
    assert "mine" in [model.name for model in zoo()]


def test_a_change_of_any_file_is_another_model(folder):
    before = local_digest(find_model("mine"))
    files, root = find_model("mine").build_files
    image = hash_files(files, root)
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_text("x")
    assert local_digest(find_model("mine")) == before
    (folder / "more.txt").write_text("x")
    assert local_digest(find_model("mine")) != before
    assert hash_files(files, root) != image


def test_it_runs_without_a_container(folder, tmp_path):
    run = order("mine", make_dataset(tmp_path / "data", ["a"], ("CT",)), "box", engine="local")
    (record,) = run.records()
    assert str(record.rounds[0].targets["liver"].status) == "ok"


@pytest.mark.parametrize(
    ("file", "text", "error", "message"),
    [
        ("Dockerfile", "FROM scratch\n", ManifestError, "contract is not named"),
        ("card.toml", 'contract = "flare"', ManifestError, "contract is flare"),
        ("card.toml", "inputs = 3", ManifestError, "must be text"),
        ("card.toml", 'contract = "grand-challenge"', UserError, "sockets.toml"),
        ("Dockerfile", DOCKERFILE + "COPY ../secret /\n", ManifestError, "outside"),
    ],
)
def test_what_is_wrong_is_told_and_harms_no_other_model(folder, file, text, error, message):
    (folder / file).write_text(text)
    with pytest.raises(error, match=message):
        find_model("mine")
    assert message in broken_models()["mine"]
    assert "region-growing" in [model.name for model in zoo()]


def test_a_socket_map_beside_the_dockerfile(folder):
    label = 'LABEL org.grand-challenge.api-method="invoke"\n'
    (folder / "Dockerfile").write_text("FROM umd/base\n" + label)
    (folder / "sockets.toml").write_text(
        '[inputs.ct]\npath = "images/ct"\nmodality = "CT"\n'
        '[outputs.s]\npath = "images/s"\ntargets = { liver = 1 }\n'
    )
    model = find_model("mine")
    assert model.card.contract == "grand-challenge"
    assert model.card.targets == ("liver",)
    assert model.adapter is None


def test_a_key_that_no_card_has_is_refused_with_the_keys_that_exist(folder):
    (folder / "card.toml").write_text('input = "CT"\n')
    with pytest.raises(
        ManifestError, match=r"input is no key of a card; keys are contract, .*inputs"
    ):
        card_labels(folder / "card.toml")
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`umd\.([a-z0-9.-]+)`", page))
    # a socket map is described with the images of other challenges
    assert documented == set(CARD_KEYS) - {"sockets"}


class Store:
    """An engine with one image of the CVPR 2025 convention."""

    def find(self, reference):
        return "sha256:1" if reference == "team" else None

    def pull(self, reference):
        return False

    def describe(self, digest):
        return SimpleNamespace(labels={})


@pytest.mark.parametrize(
    ("source", "sockets", "message"),
    [
        ("team", "ct-click", "--sockets is for contract grand-challenge; this image has cvpr25"),
        ("nothing.tar", None, "there is no file nothing.tar"),
        ("FOLDER", None, "is a folder; name an image"),
    ],
)
def test_what_is_no_image_and_an_option_of_another_contract(folder, source, sockets, message):
    source = str(folder) if source == "FOLDER" else source
    with pytest.raises(UserError, match=message):
        add_image("x", source, Store(), contract="cvpr25", sockets=sockets)


@pytest.mark.parametrize(
    ("contract", "stated", "message"),
    [
        ("cvpr25", "9", "--contract is cvpr25, and the card has contract '9'"),
        (None, "9", "contract '9' is not known"),
        ("cvpr25", "cvpr25", ""),
        (None, "cvpr25", ""),
    ],
)
def test_a_contract_of_the_card(folder, contract, stated, message):
    card = folder / "card.toml"
    card.write_text(f'contract = "{stated}"\n')
    if message:
        with pytest.raises(UserError, match=re.escape(message)):
            add_image("x", "team", Store(), contract=contract, card=card)
        return
    add_image("x", "team", Digested(), contract=contract, card=card)
    assert find_model("x").card.contract == "cvpr25"


class Digested(Store):
    """As ``Store``, with an id that a definition can hold."""

    def find(self, reference):
        return f"sha256:{'1' * 64}"


def refusing(status):
    """A client of the engine that refuses a reference with this status."""

    def get(reference):
        response = requests.Response()
        response.status_code = status
        raise APIError("invalid reference format", response=response)

    return SimpleNamespace(images=SimpleNamespace(get=get))


def test_a_reference_of_invalid_form_names_no_image():
    assert BuildClient(refusing(400)).find("my image:v1") is None
    with pytest.raises(HostError, match="the container engine refused"):
        BuildClient(refusing(500)).find("team")
