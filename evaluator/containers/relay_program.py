"""The relay to a model that is a server: the text of a program, run in a container of its own.

A model's container has no network but its own loopback. The relay's container shares that network
and nothing else of the model's, asks the server, and reports on standard output. It never sees an
image or a reference: its only mount is a folder with the model's output. Standard library only; it
runs in umd/base as ``python3 -c TEXT SECONDS``.

The convention of Grand Challenge (DIAGNijmegen/rse-sagemaker-shim f415f2f): port 4743; ``GET
/health`` is asked until it answers 200, at most 10 s each time, and a redirection is a failure;
``POST /invoke`` with an empty body answers 201.
"""

import contextlib
import http.client
import json
import os
import sys
import time
from pathlib import Path

PORT = 4743
ROOT = Path("/work")
OUTPUT, ANSWERS, LATE = ROOT / "output", ROOT / "answers", ROOT / "late"
HEALTH_SECONDS = 10.0
PAUSE_SECONDS = 0.1
#: of a server's answer that is reported
BODY_BYTES = 2000
OK, CREATED = 200, 201
REDIRECTIONS = range(300, 400)


def main() -> None:
    """Wait for the server, then answer each line with a line."""
    problem = wait_until_healthy(float(sys.argv[1]))
    if problem is not None:
        say({"ready": False, "kind": problem[0], "message": problem[1]})
        return
    say({"ready": True})
    for number, line in enumerate(sys.stdin):
        name = line.strip()
        # what the server wrote after its last answer belongs to no request
        move_output(LATE / str(number))
        say({"id": name, "notes": invoke(name)})


def wait_until_healthy(seconds: float) -> tuple[str, str] | None:
    """None when the server is ready; else the kind of the problem, and a sentence."""
    end = time.monotonic() + seconds
    last = "GET /health was not answered"
    while (left := end - time.monotonic()) > 0:
        try:
            status, _ = ask("GET", "/health", min(HEALTH_SECONDS, left))
        except (OSError, http.client.HTTPException) as error:
            last = f"GET /health on port {PORT}: {describe(error)}"
        else:
            if status == OK:
                return None
            last = f"GET /health answered {status}"
            if status in REDIRECTIONS:
                return "redirection", f"{last}, a redirection"
        time.sleep(PAUSE_SECONDS)
    return "timeout", f"not healthy after {seconds:g} s; the last: {last}"


def invoke(name: str) -> dict[str, object]:
    """Send one request; what went wrong is in the result, which is empty for 201."""
    try:
        status, body = ask("POST", "/invoke", None)
    except (OSError, http.client.HTTPException) as error:
        return {"lost": describe(error)}
    if status != CREATED:
        return {"status": status, "body": body}
    move_output(ANSWERS / name)
    return {}


def ask(method: str, path: str, timeout: float | None) -> tuple[int, str]:
    """The status of a call, and the first bytes of its body; the whole body is waited for."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read(BODY_BYTES)
        end = time.monotonic() + timeout if timeout else None
        while response.read(65536):
            if end and time.monotonic() > end:
                raise TimeoutError("the answer did not end")
        return response.status, body.decode(errors="replace")
    finally:
        connection.close()


def move_output(to: Path) -> None:
    """Move all that lies in the output folder, and give it to the evaluator's user."""
    # that of the evaluator; answers have a folder already
    owner = ROOT.stat()
    if not to.exists():
        to.mkdir()
        os.chown(to, owner.st_uid, owner.st_gid)
    for entry in list(OUTPUT.iterdir()):
        # the server may remove a file at the same time
        with contextlib.suppress(FileNotFoundError):
            entry.rename(to / entry.name)
    # a tree so deep stays as it is; the evaluator removes what it may
    with contextlib.suppress(RecursionError, FileNotFoundError):
        for _, folders, files, handle in os.fwalk(to):
            for name in (*folders, *files):
                os.chown(name, owner.st_uid, owner.st_gid, dir_fd=handle, follow_symlinks=False)


def describe(error: Exception) -> str:
    """The kind and text of an error."""
    return f"{type(error).__name__}: {error}"[:BODY_BYTES]


def say(body: dict[str, object]) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
