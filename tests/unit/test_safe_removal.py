"""The output folder of a model is removed, whatever it contains, and nothing outside it."""

from __future__ import annotations

import os
import struct

import pytest

from evaluator.containers.safe_removal import access_list, discard, keep_removable


@pytest.mark.extended
def test_thousands_of_nested_folders_are_removed(tmp_path):
    working_directory = os.getcwd()  # noqa: PTH109
    try:
        (tmp_path / "left").mkdir()
        os.chdir(tmp_path / "left")
        for _ in range(4000):
            os.mkdir("d")  # noqa: PTH102 - the full path is too long for the system
            os.chdir("d")
        with open("file", "w") as file:  # noqa: PTH123
            file.write("x")
    finally:
        os.chdir(working_directory)
    discard(tmp_path / "left")
    assert list(tmp_path.iterdir()) == []


def test_locked_folders_links_and_pipes_are_removed_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    left = tmp_path / "left"
    (left / "a/b/c").mkdir(parents=True)
    (left / "a/b/link").symlink_to(outside)
    (left / "a/file-link").symlink_to(outside / "kept")
    os.mkfifo(left / "a/pipe")
    os.link(outside / "kept", left / "a/b/c/hard")
    (left / "a/b").chmod(0)
    left.chmod(0o500)
    discard(left)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").read_text() == "kept"


def test_only_folders_are_removed(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link", "nothing"):
        discard(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_what_other_users_make_in_a_folder_can_be_removed(tmp_path, monkeypatch):
    """New folders inherit permissions for the evaluator's user, who need not be root."""
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    keep_removable(tmp_path)
    (tmp_path / "images").mkdir()
    attributes = set(os.listxattr(tmp_path / "images"))
    assert attributes >= {"system.posix_acl_access", "system.posix_acl_default"}
    inherited = os.getxattr(tmp_path / "images", "system.posix_acl_access")
    assert access_list(1234) == os.getxattr(tmp_path, "system.posix_acl_default")
    entries = [struct.unpack_from("<HHI", inherited, at) for at in range(4, len(inherited), 8)]
    # kind "user", all permissions, and a mask that leaves them
    assert (0x02, 0o7, 1234) in entries
    assert (0x10, 0o7, 0xFFFFFFFF) in entries
    monkeypatch.setattr(os, "getuid", lambda: 0)
    (tmp_path / "roots").mkdir()
    keep_removable(tmp_path / "roots")
