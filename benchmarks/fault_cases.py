"""The faults of ``benchmarks/faults.py``."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.fault_containers import container_killed, engine_killed
from benchmarks.faults import Bench, Fault, kill_child, mounted, remount

YEAR = 365 * 86400
#: another date for all programs; libfaketime also changes sleeps, which then fail in Python 3.11
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <sys/time.h>
static long offset(void) {
    const char *text = getenv("CLOCK_OFFSET");
    return text ? atol(text) : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += offset();
    return status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec; now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""
#: serves a directory listing that is up to five seconds old, as NFS does, in every process of umd
STALE = """
import os, time
SHARED, SECONDS = os.environ.get("UMD_RUNS", "/nowhere"), 5.0
listings, scandir, listdir = {}, os.scandir, os.listdir
class Listing(list):
    def __enter__(self): return iter(self)
    def __exit__(self, *_): return False
    def close(self): pass
def cached(call, kind):
    def answer(path="."):
        if isinstance(path, int) or not os.path.abspath(os.fspath(path)).startswith(SHARED):
            return call(path)
        key = (kind, os.path.abspath(os.fspath(path)))
        when, entries = listings.get(key, (-SECONDS, None))
        if time.monotonic() - when > SECONDS:
            entries = list(call(path))
            listings[key] = (time.monotonic(), entries)
        return Listing(entries)
    return answer
os.scandir, os.listdir = cached(scandir, "scan"), cached(listdir, "list")
"""


def killed(number: int, status: int) -> Callable[[Bench], bool]:
    """A signal to the evaluator after the first scan."""

    def inject(bench: Bench) -> bool:
        process = bench.begin()
        bench.wait_for_records(2)
        process.send_signal(number)
        return bench.end(process) == status and len(bench.records()) < 8

    return inject


def child_killed(part: str) -> Callable[[Bench], bool]:
    """A process that umd started is killed after the first scan."""

    def inject(bench: Bench) -> bool:
        process = bench.begin()
        bench.wait_for_records(1)
        hit = kill_child(process, part)
        return bench.end(process) == 0 and hit

    return inject


def damaged(pattern: str, damage: Callable[[Path], object]) -> Callable[[Bench], bool]:
    """A file of a half-done run is damaged; the next command must go on."""

    def inject(bench: Bench) -> bool:
        bench.call("--shard", "1/2")
        files = sorted(bench.run.glob(pattern))
        if not files:
            raise FileNotFoundError(pattern)
        damage(files[0])
        return True

    return inject


def finished_damaged(pattern: str, damage: Callable[[Path], object]) -> Callable[[Bench], bool]:
    """A file of a finished run is damaged."""

    def inject(bench: Bench) -> bool:
        bench.call()
        damage(min(bench.run.glob(pattern)))
        return True

    return inject


def tear(path: Path) -> None:
    """Leave the first half."""
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])


def corrupt(path: Path) -> None:
    """Bytes that are no text, in the length of the file."""
    path.write_bytes(b"\xff\x00\xfe" * (path.stat().st_size // 3 + 1))


def empty(path: Path) -> None:
    """A crash of the machine may leave a file of length zero."""
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """One bit in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def run_json_torn(bench: Bench) -> bool:
    """The record of the run is refused with a message, and mended from a copy."""
    bench.call("--shard", "1/2")
    path = bench.run / "run.json"
    good = path.read_bytes()
    tear(path)
    status = bench.call()
    path.write_bytes(good)
    return status == 2 and "run.json" in bench.log()


def disk_full(bench: Bench) -> bool:
    """The file system of the runs is full in the middle; then it grows."""
    with mounted(bench.runs, "8m"):
        process = bench.begin()
        bench.wait_for_records(1)
        filler = bench.runs / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        status = bench.end(process)
        filler.unlink(missing_ok=True)
        shutil.copytree(bench.run, bench.folder / f"kept-{bench.runs.name}")
    shutil.move(bench.folder / f"kept-{bench.runs.name}", bench.run)
    return status == 8


def cache_full(bench: Bench) -> bool:
    """The scratch space for staged images is full from the start."""
    cache = bench.folder / "small-cache"
    with mounted(cache, "32k"):
        status = bench.call(UMD_CACHE=str(cache))
    return status == 8


def read_only(bench: Bench) -> bool:
    """The file system of the runs is read-only when the run goes on."""
    with mounted(bench.runs, "64m"):
        bench.call("--shard", "1/2")
        remount(bench.runs, "ro")
        status = bench.call()
        remount(bench.runs, "rw")
        shutil.copytree(bench.run, bench.folder / f"kept-{bench.runs.name}")
    shutil.move(bench.folder / f"kept-{bench.runs.name}", bench.run)
    return status == 8


def clock_jump(seconds: int) -> Callable[[Bench], bool]:
    """The second half of the run is done with another date."""

    def inject(bench: Bench) -> bool:
        library, source = bench.folder / "clock.so", bench.folder / "clock.c"
        source.write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        bench.call("--shard", "1/2")
        return bench.call(LD_PRELOAD=str(library), CLOCK_OFFSET=str(seconds)) == 0

    return inject


def two_evaluators(*shards: tuple[str, ...], **variables: str) -> Callable[[Bench], bool]:
    """Two processes at the same time."""

    def inject(bench: Bench) -> bool:
        processes = [bench.begin(*options, **variables) for options in shards]
        return {bench.end(process) for process in processes} <= {0, 9}

    return inject


def stale_listing(bench: Bench) -> bool:
    """Two shards at the same time, in processes whose directory listings are old."""
    folder = bench.folder / "stale"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(STALE)
    path = f"{folder}:{bench.variables['PYTHONPATH']}"
    return two_evaluators(("--shard", "1/2"), ("--shard", "2/2"), PYTHONPATH=path)(bench)


def lost_node(bench: Bench) -> bool:
    """A machine is gone that has a claim: its file does not change any more."""
    bench.call("--shard", "1/2")
    processes = sorted((bench.run / "processes").glob("*.json"))
    record = json.loads(processes[0].read_text())
    record |= {"id": "0123456789ab", "host": "elsewhere", "place": "", "state": "running"}
    (bench.run / "processes" / "0123456789ab.json").write_text(json.dumps(record))
    done = {path.parent.name for path in bench.records()}
    subject = next(name for name in "abcd" if f"{name}.a" not in done)
    (bench.run / "claims").mkdir(exist_ok=True)
    (bench.run / "claims" / f"{subject}.a.0").write_text("0123456789ab")
    began = time.monotonic()
    return bench.call() == 0 and time.monotonic() - began > 55


def stray_files(bench: Bench) -> bool:
    """What a killed process leaves of files that it was writing."""
    bench.call("--shard", "1/2")
    folders = ("records/*", "scores/*", "masks/*")
    for path in [bench.run, *(path for name in folders for path in bench.run.glob(name))]:
        (path / ".CT.json.0123456789ab.part").write_bytes(b"{")
    return True


def hash_cache(bench: Bench) -> bool:
    """The remembered hashes of files are corrupt."""
    bench.call("--shard", "1/2")
    cache = Path(bench.variables["UMD_CACHE"])
    hit = [path for path in cache.rglob("*") if path.is_file() and "hash" in str(path)]
    for path in hit:
        corrupt(path)
    return bool(hit)


KEPT = "what is done is kept"
REDONE = "the scan is done again"
FAULTS = (
    Fault("evaluator killed (SIGKILL)", KEPT, killed(signal.SIGKILL, -9)),
    Fault("evaluator asked to end (SIGTERM)", "ends in order, status 130",
          killed(signal.SIGTERM, 130)),
    Fault("model killed", "it starts again in the same run", child_killed("zoo_sdk.serve")),
    Fault("mask validator killed", "it starts again in the same run",
          child_killed("validation_worker")),
    Fault("container killed", "it starts again in the same run", container_killed),
    Fault("Docker daemon killed", "status 8; goes on with a new daemon", engine_killed),
    Fault("disk of the runs full", "status 8", disk_full),
    Fault("disk of the cache full", "status 8", cache_full),
    Fault("folder of the runs read-only", "status 8", read_only),
    Fault("clock a year ahead", "goes on", clock_jump(YEAR)),
    Fault("clock a year behind", "goes on", clock_jump(-YEAR)),
    Fault("record torn", REDONE, damaged("records/*/*.json", tear)),
    Fault("record of other bytes", REDONE, damaged("records/*/*.json", corrupt)),
    Fault("record empty", REDONE, damaged("records/*/*.json", empty)),
    Fault("scores torn", REDONE, damaged("scores/*/*.json", tear)),
    Fault("mask torn", REDONE, damaged("masks/*/*.zip", tear)),
    Fault("mask with one other bit", REDONE, damaged("masks/*/*.zip", flip)),
    Fault("prompts torn", REDONE, damaged("prompts/*.json", tear)),
    Fault("run.json torn", "status 2 until it is mended", run_json_torn),
    Fault("process file torn", "goes on", damaged("processes/*.json", tear)),
    Fault("claim of other bytes", "goes on", damaged("claims/*", corrupt)),
    Fault("table torn", "written again", finished_damaged("scores.csv", tear)),
    Fault("record of a finished run torn", REDONE, finished_damaged("records/*/*.json", tear)),
    Fault("remembered hashes of other bytes", "hashed anew", hash_cache),
    Fault("files of a killed write left", "ignored", stray_files),
    Fault("machine lost with a claim", "taken over after a minute", lost_node),
    Fault("two evaluators, same run", "each scan is done once", two_evaluators((), ())),
    Fault("two evaluators, same shard", "each scan is done once",
          two_evaluators(("--shard", "1/2"), ("--shard", "1/2"))),
    Fault("directory listings five seconds old", "goes on", stale_listing),
)  # fmt: skip

RUN_BY_TESTS = (
    ("dask: worker, then scheduler killed", "shards are taken over",
     "tests/unit/test_dask_suite.py"),
    ("Slurm: task killed, node drained", "done again, or elsewhere", "tests/unit/test_slurm.py"),
)  # fmt: skip
