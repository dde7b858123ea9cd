"""A filter of system calls for a process that reads files of strangers.

The process may read and write what is open, use memory, tell the time and end. Every other system
call fails with EPERM: it opens no file or socket, starts no process, and neither reads nor ends
another one, whoever its user is. The filter cannot be removed. It is a program of the kernel's
packet filter (``Documentation/userspace-api/seccomp_filter.rst`` in the sources of Linux).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import subprocess
import sys

#: machine -> the kernel's name of it (AUDIT_ARCH_*), and the number of the call seccomp
MACHINES = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
#: call -> numbers on x86_64 and aarch64
ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "close": (3, 57),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "getpid": (39, 172),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
#: instructions: load a word of the call's data, jump if equal or not less, return
LOAD, JUMP_EQUAL, JUMP_NOT_LESS, RETURN = 0x20, 0x15, 0x35, 0x06
#: offsets of the call's number and of the machine in its data
NUMBER_AT, MACHINE_AT = 0, 4
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
#: numbers from here on are calls of another kind (x32) on x86_64
OTHER_CALLS = 0x40000000
NO_NEW_PRIVILEGES = 38
SET_FILTER, ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_calls() -> bool:
    """Forbid this process, in all of its threads, every system call that is not allowed.

    Returns:
        False if the machine or its kernel has no such filter; nothing is forbidden then.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        return False
    program = filter_program(machine)
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(value) for value in (1, 0, 0, 0)]
    if library.prctl(NO_NEW_PRIVILEGES, *arguments):
        return False
    body = _Program(len(program) // 8, program)
    _, call = MACHINES[machine]
    done = library.syscall(
        ctypes.c_long(call),
        ctypes.c_ulong(SET_FILTER),
        ctypes.c_ulong(ALL_THREADS),
        ctypes.byref(body),
    )
    return bool(done == 0)


def has_filter() -> bool:
    """Whether this machine has the filter, tried in a process of its own: it cannot be removed."""
    code = f"import os; from {__name__} import filter_calls; os._exit(not filter_calls())"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code], stderr=subprocess.DEVNULL, check=False
    )
    return ended.returncode == 0


def filter_program(machine: str) -> bytes:
    """The filter's instructions for a machine of ``MACHINES``, 8 bytes each."""
    kernel_name, _ = MACHINES[machine]
    column = list(MACHINES).index(machine)
    numbers = [call[column] for call in ALLOWED.values()]
    count = len(numbers)
    instructions = [
        (LOAD, 0, 0, MACHINE_AT),
        (JUMP_EQUAL, 0, count + 2, kernel_name),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_NOT_LESS, count, 0, OTHER_CALLS),
    ]
    for position, number in enumerate(numbers):
        instructions.append((JUMP_EQUAL, count - position, 0, number))
    instructions += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
