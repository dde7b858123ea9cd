"""Archives of weights: unpacked once, known by their sha256, and never outside of their folder."""

from __future__ import annotations

import io
import random
import stat
import tarfile

import pytest

from evaluator.errors import HostError, ModelFilesError
from evaluator.files import file_sha256
from evaluator.zoo.weights_archive import WeightsArchive, ensure_unpacked, read_archive


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))


def member(name, **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def make(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info in members:
            info.size = 4 if info.isfile() else 0
            archive.addfile(info, io.BytesIO(b"abcd") if info.isfile() else None)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_files_are_unpacked_once_and_readable_for_all(tmp_path, mode):
    folder = member("fold_0", type=tarfile.DIRTYPE, mode=0o700)
    path = make(tmp_path / "w.tar", folder, member("fold_0/a.pth", mode=0o600), mode=mode)
    archive = read_archive(path)
    place = ensure_unpacked(archive)
    file = place / "fold_0" / "a.pth"
    assert file.read_bytes() == b"abcd"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755
    before = file.stat().st_ino
    path.unlink()
    assert ensure_unpacked(archive) == place
    assert file.stat().st_ino == before
    file.write_bytes(b"longer than before")
    with pytest.raises(ModelFilesError, match="are missing"):
        ensure_unpacked(archive)


@pytest.mark.parametrize(
    "bad",
    [
        member("../out"),
        member("/etc/out"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("link", type=tarfile.SYMTYPE, linkname="../../../secret"),
        member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member("pipe", type=tarfile.FIFOTYPE),
        member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    ],
    ids=lambda info: f"{info.name}-{info.linkname}",
)
def test_nothing_leaves_the_folder(tmp_path, bad):
    archive = read_archive(make(tmp_path / "w.tar.gz", member("good"), bad))
    if bad.name == "/etc/out":
        # a leading slash is dropped, as tar does
        assert (ensure_unpacked(archive) / "etc" / "out").is_file()
        return
    with pytest.raises(ModelFilesError, match="must not be unpacked"):
        ensure_unpacked(archive)
    assert not archive.folder.exists()
    assert not (tmp_path / "cache" / "weights" / "out").exists()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_archive_with_one_wrong_byte_is_damaged(tmp_path, mode):
    path, noise = tmp_path / "w.tar", random.Random(1).randbytes(2**20)
    with tarfile.open(path, mode) as archive:
        info = member("a.pth")
        info.size = len(noise)
        archive.addfile(info, io.BytesIO(noise))
    body = bytearray(path.read_bytes())
    body[len(body) * 3 // 4] ^= 1
    path.write_bytes(body)
    archive = WeightsArchive(path=path, sha256=file_sha256(path))
    with pytest.raises(ModelFilesError, match="is damaged"):
        ensure_unpacked(archive)
    assert not archive.folder.exists()


def test_more_than_the_disk_holds_is_refused_before_it_is_written(tmp_path):
    info = member("zeros")
    info.size = 2**60
    path = tmp_path / "w.tar"
    path.write_bytes(info.tobuf() + bytes(10240))
    with pytest.raises(HostError, match="does not fit"):
        ensure_unpacked(WeightsArchive(path=path, sha256=file_sha256(path)))
    assert not list((tmp_path / "cache" / "weights").glob("*/*"))


def test_another_file_of_this_name_is_refused(tmp_path):
    path = make(tmp_path / "w.tar.gz", member("a"))
    archive = read_archive(path)
    make(path, member("b"))
    with pytest.raises(ModelFilesError, match="was changed"):
        ensure_unpacked(archive)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "w.tar.gz").write_bytes(b"weights")
    with pytest.raises(ModelFilesError, match="is not a tar file"):
        read_archive(tmp_path / "w.tar.gz")
    with pytest.raises(ModelFilesError, match="is not a file"):
        read_archive(tmp_path / "none.tar.gz")
    archive_bytes = make(
        tmp_path / "cut.tar.gz", *[member(f"f{n}") for n in range(99)]
    ).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(archive_bytes[: len(archive_bytes) // 2])
    archive = WeightsArchive(
        path=tmp_path / "cut.tar.gz", sha256=read_archive(tmp_path / "cut.tar.gz").sha256
    )
    with pytest.raises(ModelFilesError, match="is damaged"):
        ensure_unpacked(archive)
