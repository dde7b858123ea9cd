from __future__ import annotations

from pathlib import Path

import pytest

from evaluator import paths
from evaluator.errors import ManifestError, UnknownNameError, UserError
from evaluator.evaluation.plan import choose_options
from evaluator.zoo import broken_models, find_model, zoo
from evaluator.zoo.cards import dockerfile_labels, parse_card
from evaluator.zoo.dockerfiles import copied_paths, foreign_images, from_images

MINIMAL = {"umd.contract": "1", "umd.name": "m", "umd.inputs": "CT | PT+CT"}


def test_a_minimal_card():
    card = parse_card(MINIMAL)
    assert card.inputs == (("CT",), ("PT", "CT"))
    assert card.prompts == ()
    assert card.targets is None
    assert (card.gpu, card.session, card.many_rounds, card.timeout) == ("none", False, False, 300.0)


def test_a_full_card():
    labels = {
        "umd.prompts": "point, box",
        "umd.targets": "liver,spleen",
        "umd.units": "CT=HU,PT=SUVbw",
        "umd.gpu": "required",
        "umd.gpu-memory": "10GiB",
        "umd.memory": "1.5GB",
        "umd.shm": "64MiB",
        "umd.timeout": "12.5",
        "umd.rounds": "many",
        "umd.session": "stdio",
        "umd.weights.sha256": "ab",
        "maintainer": "someone",
    }
    card = parse_card(MINIMAL | labels)
    assert card.prompts == ("point", "box")
    assert card.targets == ("liver", "spleen")
    assert (card.gpu_memory, card.memory, card.shm) == (10 * 2**30, 1_500_000_000, 64 * 2**20)
    assert (card.timeout, card.many_rounds, card.session, card.weights_sha256) == (
        12.5,
        True,
        True,
        "ab",
    )
    assert "maintainer" not in card.labels


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("umd.contract", "2"),
        ("umd.name", "My Model"),
        ("umd.inputs", "CT | SPECT"),
        ("umd.prompts", "click"),
        ("umd.units", "CT=Hounsfield"),
        ("umd.targets", ""),
        ("umd.gpu", "yes"),
        ("umd.memory", "10 gigs"),
        ("umd.timeout", "-1"),
        ("umd.rounds", "2"),
        ("umd.session", "http"),
        ("umd.weights", "random"),
        ("umd.uses-image", "maybe"),
        ("umd.options", "large"),
        ("umd.options", "large=a|a"),
        ("umd.options", "large=a; large=b"),
        ("umd.options", "Large=a"),
        ("umd.options", "large=a||b"),
    ],
)
def test_every_wrong_label_is_named(label, value):
    with pytest.raises(ManifestError, match=label.replace(".", r"\.")):
        parse_card(MINIMAL | {label: value})


def test_options_of_a_card():
    card = parse_card(
        MINIMAL | {"umd.options": "intensity=auto|as-published; large=single|sliding;centre=click"}
    )
    assert card.options == {
        "intensity": ("auto", "as-published"),
        "large": ("single", "sliding"),
        "centre": ("click",),
    }
    assert choose_options(card, ()) == {"intensity": "auto", "large": "single", "centre": "click"}
    assert choose_options(card, ("large=sliding",))["large"] == "sliding"
    for wrong, message in (
        ("large", "write name=value"),
        ("lrage=single", "did you mean large"),
        ("large=slide", "did you mean sliding"),
    ):
        with pytest.raises(UserError, match=message):
            choose_options(card, (wrong,))


def test_all_faults_at_once():
    with pytest.raises(ManifestError) as error:
        parse_card({"umd.gpu": "yes"})
    assert all(
        name in str(error.value) for name in ("umd.contract", "umd.name", "umd.inputs", "umd.gpu")
    )


def test_labels_of_a_dockerfile():
    text = """
    FROM a AS first
    LABEL umd.name="wrong stage"
    FROM b
    # LABEL umd.name="a comment"
    LABEL a=1 b="two words" \\
          c='single' \\
    # a comment between
          d=x=y
    label e="small"
    """
    assert dockerfile_labels(text) == {
        "a": "1",
        "b": "two words",
        "c": "single",
        "d": "x=y",
        "e": "small",
    }
    with pytest.raises(ManifestError, match="key=value"):
        dockerfile_labels("FROM x\nLABEL old style")
    with pytest.raises(ManifestError, match="cannot be read"):
        dockerfile_labels('FROM x\nLABEL a="unclosed')


def test_base_images_and_copied_paths_of_a_dockerfile():
    text = (
        "FROM --platform=linux/amd64 umd/base AS x\n"
        "FROM umd/torch:latest\n"
        "COPY --chown=1 models/a models/b /opt/\n"
        'ADD ["c", "/"]\n'
        "COPY --from=x /y /z\n"
    )
    assert from_images(text) == {"umd/base", "umd/torch"}
    assert copied_paths(text) == ["models/a", "models/b", "c"]


def test_the_cards_of_the_zoo_are_valid():
    assert {model.name for model in zoo()} >= {
        "ellipsoid",
        "random-walker",
        "region-growing",
        "threshold",
    }
    assert broken_models() == {}


def test_unknown_names_and_broken_cards(project):
    folder = project({})
    (folder / "dockerfiles/bare.Dockerfile").write_text("FROM scratch\n")
    (folder / "dockerfiles/other.Dockerfile").write_text(
        "FROM x\nLABEL umd.contract=1 umd.name=another umd.inputs=CT\n"
    )
    with pytest.raises(UnknownNameError, match="did you mean bare"):
        find_model("bear")
    with pytest.raises(ManifestError, match=r"umd\.contract: is missing"):
        find_model("bare")
    with pytest.raises(ManifestError, match="must be the file's"):
        find_model("other")
    assert set(broken_models()) == {"bare", "other"}
    assert zoo() == []


def test_images_of_others_are_named_with_their_tags():
    text = (
        "ARG BASE=team/seg:v3\nARG TAG=2\nFROM umd/base AS first\nFROM $BASE\nFROM team/x:${TAG}\n"
        "FROM scratch\nCOPY --from=first /a /b\nCOPY --from=0 /a /b\n"
        "COPY --chown=1:1 --from=team/files@sha256:12 /a /b\nFROM first\nFROM umd/torch:latest\n"
    )
    assert foreign_images(text) == ["team/files@sha256:12", "team/seg:v3", "team/x:2"]
    assert foreign_images("FROM umd/base\n") == []


@pytest.mark.parametrize("path", ["../../../dev/zero", "models/../../sys", "..", "/../etc"])
def test_a_dockerfile_cannot_copy_files_outside_the_checkout(project, path):
    from evaluator.errors import ManifestError
    from evaluator.zoo import broken_models, find_model, zoo
    from tests.tiny import PAINTER

    folder = project({"bad": PAINTER, "good": PAINTER})
    file = folder / "dockerfiles" / "bad.Dockerfile"
    file.write_text(file.read_text() + f"COPY {path} /x\n")
    with pytest.raises(ManifestError, match="outside the checkout"):
        find_model("bad")
    assert [model.name for model in zoo()] == ["good"]
    assert list(broken_models()) == ["bad"]


def test_a_dockerfile_that_is_not_utf8_is_named_with_its_byte(project):
    from evaluator.zoo import broken_models, zoo
    from tests.tiny import PAINTER

    folder = project({"bad": PAINTER, "good": PAINTER})
    file = folder / "dockerfiles" / "bad.Dockerfile"
    file.write_bytes(b"# M\xfcnchen\n" + file.read_bytes())
    assert [model.name for model in zoo()] == ["good"]
    assert "bad.Dockerfile: line 1, byte 3 is 0xfc" in broken_models()["bad"]


def test_a_device_is_not_read_as_a_file_to_copy(project):
    from evaluator.errors import ManifestError
    from evaluator.zoo.catalog import hash_files
    from tests.tiny import PAINTER

    folder = project({"bad": PAINTER})
    link = folder / "models" / "bad" / "zero"
    link.symlink_to("/dev/zero")
    with pytest.raises(ManifestError, match="not a regular file"):
        hash_files([link], folder)


def test_only_the_ellipsoid_does_not_look_at_the_image():
    assert parse_card(MINIMAL).uses_image
    assert not parse_card(MINIMAL | {"umd.uses-image": "no"}).uses_image
    assert [model.name for model in zoo() if not model.card.uses_image] == ["ellipsoid"]


def test_a_user_without_a_home_has_models_in_the_cache(monkeypatch, tmp_path):
    for name in ("UMD_MODELS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UMD_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "expanduser", _no_home)
    assert paths.user_models() == tmp_path / "models"
    assert find_model("ellipsoid").name == "ellipsoid"


def _no_home(path):
    raise RuntimeError("Could not determine home directory.")
