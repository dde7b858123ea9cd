"""A bundle that lacks something: all of it is named, before anything is built."""

from __future__ import annotations

import pytest

from evaluator.errors import ModelFilesError
from evaluator.files import write_json
from evaluator.zoo.bundle_check import missing_files, require_complete
from evaluator.zoo.bundles import Bundle
from evaluator.zoo.wheels import ImagePlatform
from tests.unit.test_bundles import make_sources

ENTRY = {
    "license": "MIT",
    "commercial": "yes",
    "url": "https://example.org/a",
    "sha256": "unverified",
    "bytes": 3,
}
UPSTREAM = {
    "git": "https://example.org/sat",
    "commit": "0123456789" * 4,
    "sha256": "unverified",
    "into": "sat",
    "license": "MIT",
    "commercial": "yes",
}
PARTS = ("packages", "upstream", "auxiliary", "weights")


@pytest.fixture
def bundle(tmp_path):
    sources = make_sources(ENTRY | {"into": "a.pth"}, upstream=[UPSTREAM])
    return Bundle(
        model="m",
        root=tmp_path / "bundle",
        sources=sources,
        image=ImagePlatform(flavour="cpu", machine="x86_64"),
    )


def test_a_folder_that_does_not_exist(bundle, tmp_path):
    with pytest.raises(ModelFilesError, match=r"does not exist.*umd models fetch m --into"):
        require_complete(tmp_path / "nosuch", bundle, PARTS, [])
    with pytest.raises(ModelFilesError, match="does not exist"):
        require_complete(tmp_path / "nosuch", None, PARTS, [])


def test_all_that_is_missing_is_in_one_message(bundle):
    bundle.folder.mkdir(parents=True)
    (archive,) = (f"upstream/{source.file}" for source in bundle.sources.upstream)
    assert missing_files(bundle, PARTS) == [f"source m/{archive}", "weights m/weights/a.pth"]
    with pytest.raises(ModelFilesError) as caught:
        require_complete(bundle.root, bundle, PARTS, [("torch", bundle.image)])
    for text in (archive, "weights/a.pth", "base image umd/torch for cpu-x86_64", "--into BUNDLE"):
        assert text in str(caught.value)


def test_a_complete_bundle_passes(bundle):
    (archive,) = (f"upstream/{source.file}" for source in bundle.sources.upstream)
    for key in (archive, "weights/a.pth"):
        path = bundle.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
    files = {key: {"sha256": "0"} for key in (archive, "weights/a.pth")}
    write_json(bundle.folder / "bundle.json", {"model": "m", "files": files})
    require_complete(bundle.root, bundle, PARTS, [])
    (bundle.folder / "weights/a.pth").unlink()
    assert missing_files(bundle, PARTS) == ["weights m/weights/a.pth"]
