"""One attempt at the evaluation of a submission, as a process of its own.

    python -m evaluator.challenges.attempt FOLDER SUBMISSION JOB ATTEMPT GPUS RUNTIME

An empty RUNTIME is the engine's default.

The worker that starts it decides by the folder what became of the submission. When the worker dies,
the pipe that is this process's standard input closes, and the process ends.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.analysis.outcomes import describe_outcomes, has_masks, outcomes
from evaluator.challenges.definition import Challenge, read_definition
from evaluator.challenges.folder import ChallengeFolder
from evaluator.challenges.pseudonyms import order_seed
from evaluator.challenges.records import AttemptEnd
from evaluator.errors import (
    BuildError,
    EngineUnavailableError,
    HostError,
    ModelFilesError,
    RunConflictError,
    UserError,
)
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run import execute
from evaluator.evaluation.run_config import RunConfig
from evaluator.runs.json_types import write_typed
from evaluator.types import Status
from evaluator.zoo.engine_images import open_image_store
from evaluator.zoo.registered_images import add_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.queue import Fault
    from evaluator.runs.store import RunStore

logger = logging.getLogger(__name__)


class AttemptFailedError(Exception):
    """An attempt that cannot go on, and whose fault that is."""

    def __init__(self, step: str, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.step, self.fault = step, fault


def evaluate(
    folder: ChallengeFolder,
    definition: Challenge,
    submission: SubmissionFolder,
    job: int,
    gpus: tuple[int | str, ...] | None,
    runtime: str | None,
) -> None:
    """Run a submission: the dry run, the first hidden subject, then all.

    What is done already is kept.

    Raises:
        AttemptFailedError: a step failed.
        HostError: the machine failed.
    """
    record = submission.record()
    track, phase = definition.track(record.track), definition.phase(record.phase)
    model = _model(definition, submission)

    def run(part: str, dataset: str, limit: int | None, recheck: int) -> RunStore:
        hidden = part == "hidden"
        config = RunConfig(
            model=model,
            dataset=dataset,
            protocol=track.protocol,
            engine=definition.engine,
            runtime=runtime,
            gpus=gpus,
            name=submission.run_name(job, part),
            limit=limit,
            timeout=definition.limits.request_seconds,
            recheck=recheck,
            data_root=phase.data_root if hidden else None,
            shuffle=order_seed(folder.salt, submission.id) if hidden else None,
        )
        return execute(resolve(config))

    dataset, subjects = definition.public_dataset, definition.probe_subjects
    probe = _step("dry run", lambda: run("probe", dataset, subjects, 0))
    if not has_masks(probe):
        lines = ["No prediction of the dry run has a valid mask."]
        lines += describe_outcomes(probe, with_log=False)
        raise AttemptFailedError("dry run", "team", " ".join(lines))
    first = _step("first case", lambda: run("hidden", phase.hidden_dataset, 1, 0))
    # an order by chance may begin with a subject whose modalities the model does not take
    if not has_masks(first) and not _is_unsupported(first):
        detail = f"No prediction of the first hidden subject has a valid mask: {_counts(first)}."
        raise AttemptFailedError("first case", "team", detail)
    recheck = definition.limits.recheck
    _step("all cases", lambda: run("hidden", phase.hidden_dataset, None, recheck))


def _is_unsupported(run: RunStore) -> bool:
    """Whether the model takes nothing of what it was asked, and failed at nothing."""
    return {outcome.status for outcome in outcomes(run)} == {Status.UNSUPPORTED}


def _counts(run: RunStore) -> str:
    """Predictions by status, without a word of the model: it has seen hidden images."""
    ended = ", ".join(f"{outcome.count} {outcome.status}" for outcome in outcomes(run))
    return ended or "there is no prediction"


def _model(definition: Challenge, submission: SubmissionFolder) -> str:
    """The name of the submission as a model; its image is registered if necessary."""
    record = submission.record()
    if definition.engine == "local" or record.baseline:
        return record.source
    definition_file = paths.user_models() / f"{submission.id}.toml"
    if not definition_file.exists():
        track = definition.track(record.track)
        source = str(submission.archive) if submission.archive.is_file() else record.source
        try:
            store = open_image_store(definition.engine)
            add_image(
                submission.id,
                source,
                store,
                contract=track.contract,
                sockets=track.sockets,
                labels_first=True,
            )
        except (HostError, EngineUnavailableError):
            raise
        except UserError as error:
            raise AttemptFailedError("image", "team", str(error)) from None
    return submission.id


def _step(name: str, work: Callable[[], RunStore]) -> RunStore:
    """Do one step; whose fault an error is follows from its kind."""
    logger.info("step: %s", name)
    try:
        return work()
    except (HostError, EngineUnavailableError, RunConflictError) as error:
        raise AttemptFailedError(name, "host", str(error)) from None
    except (BuildError, ModelFilesError) as error:
        raise AttemptFailedError(name, "team", str(error)) from None
    except UserError as error:
        raise AttemptFailedError(name, "organiser", str(error)) from None


def main(arguments: list[str]) -> NoReturn:
    """Make the attempt and write how it ended."""
    path, name, job, attempt, gpus, runtime = arguments
    folder = ChallengeFolder(Path(path))
    os.environ["UMD_RUNS"], os.environ["UMD_MODELS"] = str(folder.runs), str(folder.models)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_worker, daemon=True).start()
    submission = folder.submission(name)
    place = submission.attempt_path(int(job), int(attempt))
    try:
        definition = read_definition(folder.path)
        evaluate(folder, definition, submission, int(job), parse_gpus(gpus), runtime or None)
        end = AttemptEnd(ended="done", step="all cases")
    except AttemptFailedError as error:
        end = AttemptEnd(ended="failed", step=error.step, fault=error.fault, detail=str(error))
    except (UserError, OSError) as error:
        end = AttemptEnd(ended="failed", step="image", fault="host", detail=str(error))
    write_typed(place, end)
    sys.exit(0)


def parse_gpus(text: str) -> tuple[int | str, ...] | None:
    """GPUs from the command line: "all", "none", or names separated by commas."""
    if text == "all":
        return None
    names = [] if text == "none" else text.split(",")
    return tuple(int(name) if name.isdigit() else name for name in names)


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001
    """End as on Ctrl-C, so that containers are removed."""
    raise KeyboardInterrupt


def _end_with_worker() -> None:
    """Wait until the worker's end of the pipe closes, and end this process."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
