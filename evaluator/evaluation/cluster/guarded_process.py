"""``python guarded_process.py COMMAND``: ends a command when whoever started it is gone.

A worker of dask that is killed cannot end what it started. Its end of a pipe is closed by the
kernel, and this program sees that. It uses the standard library only, as it starts with each shard.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Execute a command until it ends, or until standard input is closed.

    Returns:
        the exit status of the command; 128 and the signal's number if a signal ended it.
    """
    # only the pipe ends the command; a handler, unlike SIG_IGN, is not inherited by the command
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        child.terminate()

    threading.Thread(target=end_with_parent, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
