"""Serve an adapter file by the container contract: ``python -m zoo_sdk.serve ADAPTER.py [serve]``.

Without a further argument (batch) every request of the input folder is answered in name order; with
``serve`` (session) the model is loaded once, then one request id a line on standard input brings
one reply line.

The protocol owns the original standard input and output. The model gets an empty input, and
anything that it (or a C library, or a subprocess) prints goes to standard error, so no output of it
can be mistaken for a reply.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, TextIO, Tuple

from zoo_sdk import gpu
from zoo_sdk.adapter import Outcome, Prediction, Unsupported
from zoo_sdk.files import BadMask, input_folder, output_folder, write_mask
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import (
    CONTRACT_VERSION,
    Reply,
    Request,
    TargetReply,
    WireError,
    dump_reply,
    parse_request,
)

SETUP_FAILED = 1
#: exit status when the engine handed a GPU over and torch cannot use it
GPU_UNUSABLE = 69
LONGEST_MESSAGE = 2000


class Stopped(BaseException):
    """SIGTERM or Ctrl-C: leave at once, through every clean-up."""


def main(arguments: List[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo_sdk.serve", description="Serve an adapter by the contract."
    )
    parser.add_argument("adapter", type=Path, help="file that defines class Adapter")
    parser.add_argument("mode", nargs="?", choices=["batch", "serve"], default="batch")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    ids, replies = claim_standard_streams()
    try:
        with redirect_stdout(sys.stderr):
            return _run(options.adapter, options.mode == "serve", ids, replies)
    except Stopped as stop:
        return 128 + int(stop.args[0])
    except BrokenPipeError:
        return 0  # nobody listens any more


def claim_standard_streams() -> Tuple[TextIO, TextIO]:
    """Reserve stdin and stdout for the protocol.

    Descriptor 0 becomes empty, and descriptor 1 becomes standard error.
    """
    ids = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return ids, replies


def _run(path: Path, session: bool, ids: TextIO, replies: TextIO) -> int:
    start = time.perf_counter()
    try:
        adapter = load_adapter(path)
    except (Exception, SystemExit) as error:
        reply = _error(error)
        if session:
            _say(replies, {"ready": False, "kind": reply.kind, "message": reply.message})
        return GPU_UNUSABLE if isinstance(error, gpu.UnusableGpu) else SETUP_FAILED
    if session:
        setup = time.perf_counter() - start
        ready = {"ready": True, "contract": CONTRACT_VERSION, "seconds": {"setup": round(setup, 4)}}
        device = gpu.describe()
        _say(replies, dict(ready, gpu=device) if device else ready)
    waiting: Iterable[str] = ids if session else _batch_ids()
    for line in waiting:
        name = line.strip()
        if name:
            reply_body = dump_reply(answer(adapter, name))
            if session:
                _say(replies, reply_body)
    return 0


def load_adapter(path: Path) -> Any:
    """Import the file, check the GPU that the engine handed over, create and set up ``Adapter``.

    An adapter without ``setup`` needs none.
    """
    module = import_adapter(path)
    gpu.require_usable()
    adapter = module.Adapter()
    setup = getattr(adapter, "setup", None)
    if setup is not None:
        setup()
    gpu.require_usable()
    return adapter


def import_adapter(path: Path) -> Any:
    """Import an adapter's file as the module ``adapter``; its folder comes first on the path."""
    path = path.resolve()
    spec = importlib.util.spec_from_file_location("adapter", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError("no adapter at %s" % path)
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapter"] = module
    spec.loader.exec_module(module)
    return module


def answer(adapter: Any, name: str) -> Reply:
    """Answer the request of this id and write its files; errors go into the reply."""
    try:
        request = _read_request(name)
    except (WireError, OSError) as error:
        return _finish(
            Reply(id=name, notes={"error": "request %r cannot be read: %s" % (name, error)})
        )
    start = time.perf_counter()
    gpu.forget_peak()
    try:
        result = adapter.predict(request)
        prediction = result if isinstance(result, Prediction) else Prediction(result)
        outcomes: Mapping[str, Outcome] = dict(prediction.masks)
    except Unsupported as refusal:
        refused = TargetReply("unsupported", message=refusal.reason)
        return _finish(Reply(id=name, targets={target.name: refused for target in request.targets}))
    except (Exception, SystemExit) as error:
        failed = _error(error)
        gpu.release()
        return _finish(Reply(id=name, targets={target.name: failed for target in request.targets}))
    seconds = {name: round(float(value), 4) for name, value in prediction.seconds.items()}
    return _finish(
        Reply(
            id=name,
            targets=_write(request, outcomes),
            seconds=seconds or {"total": round(time.perf_counter() - start, 4)},
            gpu_peak_bytes=gpu.peak(),
            notes=prediction.notes,
        )
    )


def _write(request: Request, outcomes: Mapping[str, Outcome]) -> Dict[str, TargetReply]:
    """Write the mask of each requested target, and of no other."""
    folder = output_folder() / request.id
    folder.mkdir(parents=True, exist_ok=True)
    replies = {}
    for target in request.targets:
        outcome = outcomes.get(target.name)
        if outcome is None:
            replies[target.name] = TargetReply(
                "error", "missing", "the adapter gave nothing for this target"
            )
        elif isinstance(outcome, Unsupported):
            replies[target.name] = TargetReply("unsupported", message=outcome.reason)
        elif isinstance(outcome, Exception):
            replies[target.name] = _describe(outcome)
        else:
            replies[target.name] = _write_one(folder, request, target.name, outcome)
    return replies


def _write_one(folder: Path, request: Request, name: str, mask: Any) -> TargetReply:
    try:
        write_mask(folder / mask_name(name), mask, request.grid)
    except Exception as error:
        return _error(error)
    return TargetReply("ok")


def mask_name(target: str) -> str:
    """The file name of a target's mask; raises BadMask for a name that would leave its folder."""
    name = target + ".nii.gz"
    if (
        "/" in target
        or "\0" in target
        or target.startswith(".")
        or not target
        or len(name.encode()) > 240
    ):
        raise BadMask("bad-name", "target %r cannot be a file name" % target)
    return name


def _finish(reply: Reply) -> Reply:
    """Write reply.json last: a reader that finds it finds every mask."""
    if is_id(reply.id):
        folder = output_folder() / reply.id
        temporary = folder / ".writing-reply.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(_json(dump_reply(reply)), encoding="utf-8")
            temporary.replace(folder / "reply.json")
        except OSError:
            traceback.print_exc(file=sys.stderr)
    return reply


def is_id(text: str) -> bool:
    """Can this be a request's id: one plain path component."""
    return bool(text) and text not in (".", "..") and "/" not in text and "\0" not in text


def _read_request(name: str) -> Request:
    if not is_id(name):
        raise WireError("an id is one plain file name")
    request = parse_request(
        loads((input_folder() / "requests" / (name + ".json")).read_text(encoding="utf-8"))
    )
    if request.id != name:
        raise WireError("id: the file holds request %r" % request.id)
    return request


def _batch_ids() -> List[str]:
    folder = input_folder() / "requests"
    names = sorted(path.name for path in folder.glob("*.json") if not path.name.startswith("."))
    if not names:
        print("no requests in %s" % folder, file=sys.stderr)
    return [name[: -len(".json")] for name in names]


def _error(error: BaseException) -> TargetReply:
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    sys.stderr.flush()
    return _describe(error)


def _describe(error: BaseException) -> TargetReply:
    kind = type(error).__name__
    if (
        isinstance(error, MemoryError)
        or "OutOfMemory" in kind
        or "CUDA out of memory" in str(error)
    ):
        kind = "out-of-memory"
    elif isinstance(error, gpu.UnusableGpu):
        kind = gpu.UNUSABLE
    elif isinstance(error, BadMask):
        kind = error.kind
    return TargetReply("error", kind, str(error)[:LONGEST_MESSAGE])


def _say(replies: TextIO, body: Mapping[str, Any]) -> None:
    replies.write(_json(body) + "\n")
    replies.flush()


def _json(body: Mapping[str, Any]) -> str:
    """One line of plain JSON; notes that JSON cannot hold become text."""
    try:
        return json.dumps(body, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(
            dict(body, notes={"dropped": "notes held numbers that JSON cannot hold"}), default=str
        )


def _stop(number: int, _frame: Any) -> None:
    raise Stopped(number)


if __name__ == "__main__":
    raise SystemExit(main())
