"""Attacks by what is taken: processors, processes, memory."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time

from request import MIB, attempt


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


ATTACKS = {
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
}
