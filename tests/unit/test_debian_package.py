"""Files of a Debian package: unpacked without installing, by the hashes of the case list."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from evaluator.datasets import debian_package
from evaluator.datasets.debian_package import fetch_debian
from evaluator.errors import DatasetError
from evaluator.manifests.datasets import dataset_manifests, read_dataset_manifest

FILES = {"image.nii.gz": b"an image", "reference.nii.gz": b"a reference."}


def package(files: dict[str, bytes]) -> bytes:
    """A Debian package with these files: an ar archive of two members."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./usr/share/heads/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    content = b"!<arch>\n"
    for name, data in (("debian-binary", b"2.0\n"), ("data.tar.xz", body.getvalue())):
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        content += data + b"\n" * (len(data) % 2)
    return content


@pytest.fixture
def manifest(tmp_path):
    rows = ["subject\tsession\tmodality\timage\treference\tunit\tlabels\tsha256\treference_sha256"]
    hashes = [hashlib.sha256(data).hexdigest() for data in FILES.values()]
    rows.append("\t".join(["s", "a", "MR", *FILES, "a.u.", "brain=1", *hashes]))
    (tmp_path / "heads.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "heads.toml").write_text(
        'name = "heads"\ntitle = "Heads"\nlicense = "MIT"\ncitation = "none"\nsynthetic = false\n'
        'reference_origin = "x"\n[debian]\npackage = "heads-data"\nfolder = "usr/share/heads"\n'
    )
    return read_dataset_manifest(tmp_path / "heads.toml")


def served(monkeypatch, content: bytes) -> None:
    def download(package, folder):
        (folder / "p.deb").write_bytes(content)
        return folder / "p.deb"

    monkeypatch.setattr(debian_package, "_download", download)


def test_the_files_of_the_case_list_are_copied(manifest, monkeypatch, tmp_path):
    served(monkeypatch, package({**FILES, "other": b"not listed"}))
    files = fetch_debian(manifest, tmp_path / "into")
    assert [file.read_bytes() for file in files] == list(FILES.values())
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (package({"image.nii.gz": FILES["image.nii.gz"]}), "has no reference.nii.gz"),
        (package({**FILES, "image.nii.gz": b"another"}), "the case list states"),
        (b"a web page", "is not a Debian package"),
        (package(FILES)[:200], "contains no files|cannot be unpacked"),
    ],
)
def test_a_wrong_package_is_refused(manifest, monkeypatch, tmp_path, content, message):
    served(monkeypatch, content)
    with pytest.raises(DatasetError, match=message):
        fetch_debian(manifest, tmp_path / "into")


def test_without_apt_the_message_says_where_the_files_are(manifest, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"packages\.debian\.org/heads-data"):
        fetch_debian(manifest, tmp_path / "into")


def test_a_dataset_of_no_package_says_so(tmp_path):
    with pytest.raises(DatasetError, match="is not in a Debian package"):
        fetch_debian(read_dataset_manifest(dataset_manifests()["ibsi-sts"]), tmp_path)
