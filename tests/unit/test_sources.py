"""Validation of sources.toml."""

from __future__ import annotations

import pytest

from evaluator.errors import ManifestError
from evaluator.zoo import zoo
from evaluator.zoo.sources import UNVERIFIED, locked, read_sources, sources_path

MINIMAL = 'base = "umd/torch"\n[code]\norigin = "this project"\nlicense = "Apache-2.0"\n'
WEIGHTS = (
    '[[weights]]\ninto = "a.pth"\nhub = "who/what"\nrevision = "main"\npath = "a.pth"\n'
    'sha256 = "unverified"\n'
    'license = "CC-BY-NC-4.0"\ncommercial = "no"\n'
)


def write(project, text, **files):
    folder = project({}) / "models" / "m"
    folder.mkdir()
    (folder / "sources.toml").write_text(text)
    for name, content in files.items():
        (folder.parent / name.replace("_", ".")).write_text(content)
    return folder.parent


def test_every_model_of_the_zoo_has_sources():
    for model in zoo():
        sources = read_sources(model.name)
        assert sources is not None, model.name
        assert f"FROM {sources.base}" in model.dockerfile.read_text()
        pinned = [source.sha256 for source in sources.weights if source.sha256 != UNVERIFIED]
        if len(sources.weights) == 1:
            assert model.card.weights_sha256 == "".join(pinned), (
                "the card must contain the pinned hash"
            )


def test_addresses(project, monkeypatch):
    write(project, MINIMAL + WEIGHTS)
    sources = read_sources("m")
    assert sources is not None
    (source,) = sources.weights
    assert source.address == "https://huggingface.co/who/what/resolve/main/a.pth"
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror/")
    assert source.address == "http://mirror/who/what/resolve/main/a.pth"
    assert read_sources("nothing-of-that-name") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = ", "not TOML"),
        (MINIMAL.replace("umd/torch", "ubuntu"), "base"),
        (MINIMAL + WEIGHTS.replace('"a.pth"\nhub', '"../a.pth"\nhub'), "stays inside"),
        (MINIMAL + WEIGHTS.replace("unverified", "unknown"), "weights.0.sha256"),
        (
            MINIMAL + WEIGHTS.replace('revision = "main"\n', ""),
            "give either hub, revision and path, or url",
        ),
        (MINIMAL + WEIGHTS + 'url = "https://x/y"\n', "give either hub, revision and path, or url"),
        (MINIMAL + WEIGHTS + WEIGHTS, "two files have the path a.pth"),
        (MINIMAL + WEIGHTS.replace('"no"', '"maybe"'), "weights.0.commercial"),
        (MINIMAL + "[extra]\n", "extra"),
        (
            MINIMAL + '[packages]\nlock = "p.lock"\nbuild = ["other"]\n',
            "lists other, which the lock does not contain",
        ),
    ],
)
def test_every_fault_names_its_field(project, text, message):
    write(project, text, p_lock="x==1 --hash=sha256:" + "0" * 64)
    with pytest.raises(ManifestError, match=message) as error:
        read_sources("m")
    assert str(sources_path("m").parents[1]) in str(error.value)


def test_a_lock_names_versions_and_hashes_and_leaves_torch_alone(project):
    folder = write(project, MINIMAL + '[packages]\nlock = "p.lock"\n')
    good = (
        "# a comment\nA_b==1.0 \\\n    --hash=sha256:"
        + "0" * 64
        + " \\\n    --hash=sha256:"
        + "1" * 64
        + "\n    # via x\n"
    )
    (folder / "p.lock").write_text(good)
    assert read_sources("m") is not None
    assert locked(folder / "p.lock") == {"a-b": ("A_b==1.0", ("0" * 64, "1" * 64))}
    for bad, message in (
        (good + "c==1\n", "every line"),
        ("c>=1 --hash=sha256:" + "0" * 64, "every line"),
    ):
        (folder / "p.lock").write_text(bad)
        with pytest.raises(ManifestError, match=message):
            read_sources("m")
    for name in ("torch", "nvidia-cublas-cu12", "triton"):
        (folder / "p.lock").write_text(good.replace("A_b", name))
        with pytest.raises(ManifestError, match="part of the base image"):
            read_sources("m")
    (folder / "p.lock").unlink()
    with pytest.raises(ManifestError, match="cannot be read"):
        read_sources("m")
