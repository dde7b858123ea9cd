"""Attacks that take rights, or change what is not theirs."""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import time
from pathlib import Path

from request import attempt, call


def disk():
    """Make a device of the host's first disk, and read it."""
    os.mknod("/tmp/sda", stat.S_IFBLK | 0o666, os.makedev(8, 0))
    with open("/tmp/sda", "rb") as file:
        file.read(512)


def rights(request):
    """Take rights: mounts, namespaces, other users, keys, programs of the kernel."""
    here = ctypes.create_string_buffer(b"/tmp")
    none = ctypes.c_char_p(None)
    notes = {
        "mount": attempt(lambda: call(165, b"none", here, b"tmpfs", 0, none)),
        "remount": attempt(lambda: call(165, none, b"/input", none, 32 | 4096, none)),
        "umount": attempt(lambda: call(166, b"/input", 2)),
        "unshare": attempt(
            lambda: os.unshare(0x10000000) if hasattr(os, "unshare") else call(272, 0x10000000)
        ),
        "chroot": attempt(lambda: os.chroot("/tmp")),
        "setuid": attempt(lambda: os.setuid(0)),
        "setgroups": attempt(lambda: os.setgroups([0])),
        "bpf": attempt(lambda: call(321, 0, 0, 0)),
        "add_key": attempt(lambda: call(248, b"user", b"a", b"b", 1, -4)),
        "keyctl": attempt(lambda: call(250, 0, -5, 0)),
        "userfaultfd": attempt(lambda: call(323, 0)),
        "perf": attempt(lambda: call(298, 0, 0, -1, -1, 0)),
        "open_by_handle": attempt(lambda: call(304, -100, 0, 0)),
        "kexec": attempt(lambda: call(246, 0, 0, 0, 0)),
        "reboot": attempt(lambda: call(169, 0xFEE1DEAD, 672274793, 0x89ABCDEF, 0)),
        "settime": attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, 0)),
        "sysctl": attempt(lambda: Path("/proc/sys/kernel/hostname").write_text("evil")),
        "cgroup": attempt(lambda: Path("/sys/fs/cgroup/memory.max").write_text("max")),
        "release_agent": attempt(
            lambda: Path("/sys/fs/cgroup/memory/release_agent").write_text("/x")
        ),
        "core_pattern": attempt(lambda: Path("/proc/sys/kernel/core_pattern").write_text("|/x")),
        "mknod": attempt(disk),
        "mknod output": attempt(
            lambda: os.mknod("/output/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        ),
    }
    request.write()
    request.say(notes=notes)


def write_input(request):
    """Change what other requests get."""
    notes = {
        "new": attempt(lambda: Path("/input/x").write_text("x")),
        "request": attempt(lambda: Path("/input/requests/r.json").write_text("{}")),
        "unlink": attempt(lambda: next(Path("/input/images").iterdir()).unlink()),
        "chmod": attempt(lambda: os.chmod("/input", 0o777)),
        "utime": attempt(lambda: os.utime("/input")),
        "root": attempt(lambda: Path("/opt/model/x").write_text("x")),
        "etc": attempt(lambda: Path("/etc/ld.so.preload").write_text("/tmp/x.so")),
    }
    request.write()
    request.say(notes=notes)


def set_user_id(request):
    """Leave programs that would run as their owner on the host."""
    request.write()
    for place in ("/output/sh", str(request.folder / "sh"), "/tmp/sh"):
        with open("/bin/sh", "rb") as source, open(place, "wb") as copy:
            copy.write(source.read())
        os.chmod(place, 0o6777)
    os.chmod(request.file, 0o6777)
    request.say()


def limits(request):
    """Raise its own limits."""
    names = ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")
    notes = {}
    for name in names:
        number = getattr(resource, name)
        most = resource.getrlimit(number)[1]
        notes[name] = attempt(lambda: resource.setrlimit(number, (most + 1, most + 1)))
    request.write()
    request.say(notes=notes)


ATTACKS = {
    "rights": rights,
    "write-input": write_input,
    "set-user-id": set_user_id,
    "limits": limits,
}
