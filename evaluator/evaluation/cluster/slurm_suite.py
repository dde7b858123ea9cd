"""Submit a suite to Slurm: an array for each model, then the tables and the report."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.evaluation.cluster.command_lines import (
    absolute,
    program,
    run_arguments,
    umd_environment,
)
from evaluator.evaluation.cluster.resubmission import continued, tasks_to_submit
from evaluator.evaluation.cluster.slurm import submit, task_states
from evaluator.evaluation.cluster.slurm_records import (
    SlurmArray,
    SlurmRecord,
    SlurmSubmission,
    SlurmTask,
    read_slurm_record,
    slurm_folder,
    write_slurm_record,
)
from evaluator.evaluation.cluster.slurm_scripts import (
    array_script,
    final_script,
    gpu_problem,
    request_of,
)
from evaluator.evaluation.suites import SuiteRunResult
from evaluator.files import write_bytes
from evaluator.locks import file_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.evaluation.cluster.jobs import SuiteJob, SuiteJobs
    from evaluator.evaluation.cluster.slurm import TaskState
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.manifests.sites import Site
    from evaluator.manifests.suites import Suite

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmScripts:
    """The scripts of a suite, before anything is written or submitted."""

    #: file name -> text
    texts: dict[str, str]
    arrays: tuple[SlurmArray, ...]
    refused: tuple[SuiteRunResult, ...]


def slurm_scripts(
    suite: Suite, source: str, planned: SuiteJobs, config: RunConfig, site: Site
) -> SlurmScripts:
    """The scripts of a suite; nothing is written.

    Args:
        suite: the suite.
        source: name or file that the user gave for it.
        planned: the suite's jobs.
        config: what is the same for all runs (data root, force).
        site: the cluster.

    Raises:
        UserError: no run of the suite can be made.
    """
    texts: dict[str, str] = {}
    arrays: list[SlurmArray] = []
    refused = list(planned.refused)
    for model in suite.models:
        jobs = [job for job in planned.jobs if job.model == model]
        if not jobs:
            continue
        if problem := gpu_problem(jobs[0].card, site):
            refused += [_refused(job, problem) for job in jobs]
            continue
        array = _array(model, jobs, site)
        arrays.append(array)
        texts[array.script] = array_script(
            model,
            array.tasks,
            request_of(jobs, site),
            site,
            suite=suite.name,
            umd=_program(site),
            environment=umd_environment(),
            arguments=run_arguments(config),
            roots={absolute(job.dataset): job.root_arguments for job in jobs},
        )
    if not arrays:
        raise UserError(
            f"no run of suite {suite.name} can be made: "
            + "; ".join(dict.fromkeys(f"{entry.model}: {entry.reason}" for entry in refused))
        )
    texts |= _final_scripts(suite, source, site)
    folder = shlex.quote(str(slurm_folder(suite)))
    texts = {name: text.replace("#SBATCH", f"#SBATCH --chdir={folder}\n#SBATCH", 1)
             for name, text in texts.items()}  # fmt: skip
    return SlurmScripts(texts=texts, arrays=tuple(arrays), refused=tuple(refused))


def submit_suite(
    suite: Suite, source: str, scripts: SlurmScripts, planned: SuiteJobs, site: Site, *, again: bool
) -> SlurmRecord:
    """Write the scripts and submit what is not done and not with Slurm already.

    Args:
        suite: the suite.
        source: name or file that the user gave for it.
        scripts: of the suite.
        planned: the suite's jobs.
        site: the cluster.
        again: submit unfinished tasks of an earlier call, at most ``site.attempts`` times.

    Raises:
        UserError: the suite was submitted before and ``again`` is not set, or Slurm refuses it.
        HostError: Slurm's controller does not answer.
    """
    # a second call waits, and then sees what the first one submitted
    with file_lock(slurm_folder(suite) / "submit.lock", "umd suite slurm", optional=True):
        return _submit(suite, source, scripts, planned, site, again=again)


def _submit(
    suite: Suite, source: str, scripts: SlurmScripts, planned: SuiteJobs, site: Site, *, again: bool
) -> SlurmRecord:
    earlier = read_slurm_record(suite)
    if earlier is not None and earlier.jobs() and not again:
        raise UserError(
            f"suite {suite.name} was submitted before; see: umd status --suite {source}. "
            f"Submit what is not done with: umd suite slurm {source} --resubmit"
        )
    states = task_states(earlier.jobs()) if earlier else {}
    folder = slurm_folder(suite)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for name, text in scripts.texts.items():
        write_bytes(folder / name, text.encode())
    record = SlurmRecord(
        suite=suite.name,
        source=absolute(source),
        site=site.model_dump(mode="json", exclude_none=True),
        arrays=scripts.arrays,
        refused=scripts.refused,
    )
    if earlier is not None:
        record = continued(record, earlier, states)
    write_slurm_record(suite, record)
    jobs = {job.run: job for job in planned.jobs}
    for number, array in enumerate(record.arrays):
        waiting = tasks_to_submit(array, jobs, states, site)
        if not waiting:
            continue
        limit = f"%{site.at_once}" if site.at_once else ""
        listed = ",".join(map(str, waiting))
        job = submit(folder / array.script, [f"--array={listed}{limit}"])
        entry = SlurmSubmission(job=job, tasks=tuple(waiting), time=_now())
        array = replace(array, submissions=(*array.submissions, entry))
        arrays = (*record.arrays[:number], array, *record.arrays[number + 1 :])
        record = replace(record, arrays=arrays)
        write_slurm_record(suite, record)  # a later refusal forgets no job
    return _submit_final(suite, record, states)


def _submit_final(
    suite: Suite, record: SlurmRecord, states: dict[tuple[int, int | None], TaskState]
) -> SlurmRecord:
    """Submit the jobs that wait for the arrays: the tables, and after them the report."""
    folder = slurm_folder(suite)
    before = [entry.job for array in record.arrays for entry in array.submissions]
    active = {job for (job, _), state in states.items() if state.active}
    new = set(before) - {job for job, _ in states}
    waited = sorted(set(before) & (active | new))
    for name in ("gather", "report") if record.site["report"] else ("gather",):
        options = [f"--dependency=afterany:{':'.join(map(str, waited))}"] if waited else []
        entry = SlurmSubmission(job=submit(folder / f"{name}.sh", options), time=_now())
        if name == "gather":
            record = replace(record, gather=(*record.gather, entry))
        else:
            record = replace(record, report=(*record.report, entry))
        write_slurm_record(suite, record)
        waited = [entry.job]
    return record


def _array(model: str, jobs: Sequence[SuiteJob], site: Site) -> SlurmArray:
    tasks: list[SlurmTask] = []
    for job in jobs:
        for shard in job.shards(site.shards):
            tasks.append(
                SlurmTask(
                    dataset=absolute(job.dataset),
                    protocol=absolute(job.protocol),
                    run=job.run,
                    shard=str(shard),
                )
            )
    return SlurmArray(model=model, image=jobs[0].image, script=f"{model}.sh", tasks=tuple(tasks))


def _final_scripts(suite: Suite, source: str, site: Site) -> dict[str, str]:
    folder = slurm_folder(suite)
    commands = {
        "gather": [["suite", "gather", absolute(source)]],
        "report": [["report", "--suite", absolute(source), "-o", str(folder / "report")]],
    }
    if not site.report:
        del commands["report"]
    texts: dict[str, str] = {}
    for name, words in commands.items():
        texts[f"{name}.sh"] = final_script(
            name, words, site, suite=suite.name, umd=_program(site), environment=umd_environment()
        )
    return texts


def _refused(job: SuiteJob, reason: str) -> SuiteRunResult:
    return SuiteRunResult(
        model=job.model, dataset=job.dataset, protocol=job.protocol, reason=reason
    )


def _program(site: Site) -> str:
    if site.umd:
        return site.umd
    return shlex.quote(program())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
