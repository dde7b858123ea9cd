"""What each attack of the hostile zoo must come to."""

from __future__ import annotations

from dataclasses import dataclass

#: system errors that mean "you may not"
REFUSALS = {
    "EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "EINVAL", "ESRCH", "ENETUNREACH", "ENODEV",
    "ECONNREFUSED", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "ENOPROTOOPT",
    "ESOCKTNOSUPPORT", "EPROTONOSUPPORT", "EOPNOTSUPP", "EDQUOT", "EBADF", "EIO", "ENOTDIR",
    "EFAULT", "ETIMEDOUT", "ENXIO", "TimeoutError", "gaierror", "ValueError", "FileNotFoundError",
    "ENOTSUP", "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An attack's outcome."""

    #: statuses that it may get; usually one
    statuses: tuple[str, ...]
    #: what it does, for the table
    what: str
    #: in make test; the others are in make test-hostile
    usual: bool = False
    #: all notes of its reply must be refusals
    refused: bool = False
    #: its answer to the next request suffers, too: it harms itself
    harms_next: bool = False
    #: the notes of its reply are shown in the table: what is open on this machine
    shown: bool = False


def _expect(statuses: str, what: str, **more: bool) -> Expected:
    return Expected(statuses=tuple(statuses.split("|")), what=what, **more)


OK, LINK, VALUES, WRONG = "ok", "unsafe-file", "wrong-values", "wrong-shape"

EXPECTED = {
    "snoop": _expect(OK, "reads every file and the environment", usual=True),
    "snoop-proc": _expect(OK, "reads /proc, /sys and attributes of files"),
    "guess-paths": _expect(OK, "opens references by guessed paths, through /proc too", usual=True),
    "engine-socket": _expect(
        OK, "reaches the engine or another service by a socket", refused=True, usual=True
    ),
    "kernel-doors": _expect(OK, "AF_VSOCK to the host, io_uring, key rings", shown=True),
    "network": _expect(OK, "TCP, UDP, DNS, metadata address", refused=True, usual=True),
    "rights": _expect(
        OK, "mounts, namespaces, keys, bpf, devices, sysctl, cgroups", refused=True, usual=True
    ),
    "ptrace": _expect(OK, "looks for processes of others"),
    "write-input": _expect(OK, "changes requests, images and its own image", refused=True),
    "set-user-id": _expect(OK, "leaves shells with set-user-id in /output", usual=True),
    "link-to-passwd": _expect(LINK, "the mask is a link to /etc/passwd"),
    "link-to-device": _expect(LINK, "the mask is a link to /dev/zero"),
    "link-to-itself": _expect(LINK, "the mask is a link to itself"),
    "link-to-input": _expect(LINK, "the mask is a link to the requests"),
    "link-to-earlier": _expect(LINK, "the mask is a link to an earlier answer"),
    "link-folder": _expect("unsafe-file|missing", "the folder of the answer is a link", usual=True),
    "link-to-host": _expect("unsafe-file|missing", "the folder of the answer is a link to /etc"),
    "hard-link": _expect(LINK, "the mask has a second name"),
    "fifo": _expect("unsafe-file|missing", "the mask is a pipe"),
    "socket-file": _expect("unsafe-file|missing", "the mask is a socket"),
    "folder": _expect(LINK, "the mask is a folder"),
    "device": _expect("missing", "makes a device in the mask's place"),
    "sparse": _expect("too-large", "60 MiB without content"),
    "huge-file": _expect("too-large", "writes until the disk is full"),
    "reserved": _expect("too-large", "reserves a gigabyte without writing"),
    "unlinked": _expect("too-large", "fills a file without a name", usual=True),
    "many-files": _expect("too-large", "300,000 empty files"),
    "deep-folders": _expect(OK, "2,000 nested folders"),
    "locked-folder": _expect(OK, "a folder of mode 0"),
    "names": _expect(OK, "names that are no text, too long, formulas, equal but for case"),
    "exit-0": _expect("crashed", "exits with 0 and no answer"),
    "exit-137": _expect("crashed", "exits as if the system had killed it"),
    "kill-itself": _expect("crashed", "segmentation fault"),
    "no-json": _expect("error", "a reply that is no JSON"),
    "json-deep": _expect("error", "50,000 nested lists in the reply"),
    "json-number": _expect("error", "1e999 in the reply"),
    "json-nan": _expect("error", "NaN in the reply"),
    "json-digits": _expect("error", "a number of 100,000 digits in the reply"),
    "json-long": _expect("ok|error", "a reply of 3 MB"),
    "json-wide": _expect("ok|error", "a reply with 100,000 notes"),
    "no-text": _expect("error", "a reply that is no UTF-8"),
    "other-id": _expect("error", "replies for another request"),
    "two-replies": _expect(OK, "replies for the next request before it is asked", harms_next=True),
    "timing-lies": _expect(OK, "works 1 s, claims 1 ns and turns the clock back"),
    "escapes": _expect(
        "error", "escape codes, titles, links, bidi and surrogates in all texts", usual=True
    ),
    "flood-stdout": _expect("error|crashed|timeout", "a line of 300 MB"),
    "flood-lines": _expect("error", "4,000,000 lines that are no replies"),
    "flood-stderr": _expect(OK, "8 MB of log"),
    "closed-stdout": _expect("timeout|crashed", "closes its output and sleeps"),
    "spin": _expect("timeout", "all cores busy for ever"),
    "ignore-signals": _expect("timeout", "ignores every signal and sleeps"),
    "stopped": _expect("timeout", "stops itself"),
    "daemon": _expect(OK, "leaves a process that writes on"),
    "fork-bomb": _expect("ok|error|crashed|timeout|out-of-memory", "3,000 processes"),
    "threads": _expect(OK, "3,000 threads"),
    "memory": _expect("out-of-memory", "takes memory without an end"),
    "shared-memory": _expect("out-of-memory|ok", "fills /dev/shm and /tmp"),
    "huge-environment": _expect(OK, "starts programs with 2 MB of environment"),
    "open-files": _expect(OK, "opens 100,000 files"),
    "limits": _expect(OK, "raises its own limits", refused=True),
    "nan": _expect(VALUES, "NaN in the mask"),
    "infinite": _expect(VALUES, "infinity in the mask"),
    "half": _expect(VALUES, "0.5 in the mask"),
    "two": _expect(VALUES, "the value 2 in the mask"),
    "negative": _expect(VALUES, "the value -1 in the mask"),
    "wrong-shape": _expect(WRONG, "a mask of another shape"),
    "wrong-affine": _expect("wrong-affine", "a mask at another place"),
    "huge-dims": _expect(WRONG, "a header of 32767 x 32767 x 32767 voxels"),
    "seven-dims": _expect("unsafe-file|wrong-shape", "a header of seven dimensions"),
    "negative-dims": _expect("unsafe-file|wrong-shape", "a header with negative sizes"),
    "far-offset": _expect(LINK, "voxels begin at byte 1e30"),
    "nan-offset": _expect(LINK, "voxels begin at byte NaN"),
    "slope": _expect(VALUES, "a slope that makes other values"),
    "other-type": _expect(VALUES, "complex numbers"),
    "pair-magic": _expect(LINK, "a header that names a second file"),
    "not-packed": _expect("ok|unsafe-file", "not packed, with the name of a packed file"),
    "cut-short": _expect(LINK, "half of a mask"),
    "gzip-bomb": _expect("ok|unsafe-file|too-large", "256 MB of zeros behind the mask", usual=True),
    "garbage": _expect(LINK, "random bytes"),
    "empty-file": _expect(LINK, "an empty file"),
    "pickle": _expect(LINK, "a pickle that runs a program when it is read"),
    "meta-image": _expect(LINK, "a MetaImage whose voxels are /etc/passwd"),
    "write-after-reply": _expect(
        "ok|unsafe-file|wrong-values|wrong-shape|too-large|missing",
        "changes the mask while it is read",
    ),
    "swap-for-link": _expect("ok|unsafe-file|missing", "exchanges the mask for a link", usual=True),
    "change-earlier": _expect(OK, "changes the answers of earlier requests", usual=True),
    "for-others": _expect(OK, "writes into the folders of later requests"),
}
