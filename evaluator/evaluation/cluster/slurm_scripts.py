"""The scripts of a suite's jobs, as text that a person reads and may submit by hand. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.manifests.sites import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.evaluation.cluster.jobs import SuiteJob
    from evaluator.evaluation.cluster.slurm_records import SlurmTask
    from evaluator.manifests.sites import Site
    from evaluator.types import ModelCard

#: until a model is ready, and for the check of reproducibility, s
START_SECONDS = 900.0
#: scans differ, and nodes too
TIME_FACTOR = 2.0
#: s before the end of its time at which a task is told to stop
NOTICE = 120
GIB = 2**30
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the tasks of one array ask for."""

    #: option of sbatch; None: no GPU
    gpu: str | None
    #: MiB
    memory: int
    cpus: int
    #: as Slurm reads it
    time: str
    #: where the time comes from
    time_source: str


def request_of(jobs: Sequence[SuiteJob], site: Site) -> Request:
    """What a task of a model asks for: by its card, the site, and earlier runs.

    Args:
        jobs: the runs of one model.
        site: the cluster.
    """
    card = jobs[0].card
    memory = (card.memory or 0) / MIB + site.memory_gib * GIB / MIB
    time, source = _time(jobs, site)
    return Request(
        gpu=_gpu(card, site), memory=int(memory), cpus=site.cpus, time=time, time_source=source
    )


def gpu_problem(card: ModelCard, site: Site) -> str | None:
    """Why the site has no GPU for a model that needs one; None if it has, or none is needed."""
    if card.gpu != "required" or not site.gpus:
        return None
    largest = max(entry.memory_gib for entry in site.gpus)
    if largest * GIB >= (card.gpu_memory or 0):
        return None
    return (
        f"the model needs {(card.gpu_memory or 0) / GIB:.0f} GiB of GPU memory by its card; "
        f"the site's largest GPU has {largest:g} GiB"
    )


def _gpu(card: ModelCard, site: Site) -> str | None:
    if card.gpu == "none":
        return None
    if not site.gpus:
        return "--gres=gpu:1"
    fit = [entry for entry in site.gpus if entry.memory_gib * GIB >= (card.gpu_memory or 0)]
    return min(fit, key=lambda entry: entry.memory_gib).option if fit else None


def _time(jobs: Sequence[SuiteJob], site: Site) -> tuple[str, str]:
    """The time of the longest task."""
    if any(job.estimate is None for job in jobs):
        return site.time, "the site's, as no earlier run tells it"
    longest, source = 0.0, ""
    for job in jobs:
        assert job.estimate is not None
        scans = -(-job.scans // max(len(job.shards(site.shards)), 1))
        seconds = scans * job.estimate.seconds
        if seconds >= longest:
            difference = f" with {job.estimate.difference}" if job.estimate.difference else ""
            longest = seconds
            source = f"{scans} scans of {job.estimate.seconds:.1f} s, by {job.estimate.run}"
            source += difference
    asked = START_SECONDS + TIME_FACTOR * longest
    if asked > parse_time(site.longest):
        return site.longest, f"the longest that the site grants; {source}: tasks may be continued"
    return format_time(asked), source


def array_script(
    model: str,
    tasks: Sequence[SlurmTask],
    request: Request,
    site: Site,
    *,
    suite: str,
    umd: str,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    roots: Mapping[str, Sequence[str]] = {},
) -> str:
    """The script of one model's array.

    Args:
        model: the model.
        tasks: the array's tasks, in order.
        request: what each asks for.
        site: the cluster.
        suite: name of the suite.
        umd: the program umd.
        environment: variables to set.
        arguments: further arguments of ``umd run``.
        roots: dataset -> the arguments that name the folder of its files.
    """
    lines = [
        "#!/bin/bash",
        f"# Suite {suite}, model {model}: a task for each dataset, protocol and shard.",
        "# Written by umd suite slurm. It may also be submitted by hand:",
        f"#   sbatch --array=0-{len(tasks) - 1} {model}.sh",
        *_directives(f"umd.{suite}.{model}", f"{model}-%A_%a.log", site),
        "#SBATCH --requeue",
        f"#SBATCH --signal=B:USR1@{NOTICE}",
        f"#SBATCH --cpus-per-task={request.cpus}",
        f"#SBATCH --mem={request.memory}M",
        f"# time: {request.time_source}",
        f"#SBATCH --time={request.time}",
        *([f"#SBATCH {request.gpu}"] if request.gpu else []),
        "",
        *_preparation(site, environment),
        'case "${SLURM_ARRAY_TASK_ID:?submit this with --array}" in',
    ]
    for number, task in enumerate(tasks):
        words = ["-d", task.dataset, *roots.get(task.dataset, ()), "-p", task.protocol]
        words += ["--name", task.run]
        lines.append(f"  {number}) task=({shlex.join([*words, '--shard', task.shard])}) ;;")
    gpus = "all" if request.gpu else "none"
    words = ["run", "-m", model, "--engine", site.engine, "--gpus", gpus, *arguments]
    command = f'{umd} {shlex.join(words)} "${{task[@]}}"'
    lines += [
        '  *) echo "umd: the array has no task $SLURM_ARRAY_TASK_ID" >&2; exit 2 ;;',
        "esac",
        "",
        *_load(model, site, umd),
        *_ATTEMPTS.format(restarts=site.attempts - 1, command=command).splitlines(),
    ]
    return "\n".join(lines) + "\n"


#: finished scans are kept in the run folder, so a task that begins again does what is left
_ATTEMPTS = """\
restarts=${{SLURM_RESTART_COUNT:-0}}
if [ "$restarts" -gt {restarts} ]; then
  echo "umd: this task was begun $((restarts + 1)) times and is given up" >&2
  exit 75
fi
{command} &
umd=$!
out_of_time=no
trap 'out_of_time=yes; kill -TERM "$umd"' USR1
trap 'kill -TERM "$umd"' TERM
wait "$umd"
status=$?
while kill -0 "$umd" 2>/dev/null; do
  wait "$umd"
  status=$?
done
# Status 8: a fault of this node. Only then, and at the end of its time, the task begins again.
if [ "$status" = 8 ] || [ "$out_of_time" = yes ]; then
  if [ "$restarts" -lt {restarts} ]; then
    scontrol requeue "$SLURM_JOB_ID" && sleep 300
  fi
fi
# Status 11: the model gave no mask, which is a result.
if [ "$status" = 11 ]; then status=0; fi
exit "$status"
"""


def final_script(
    name: str, commands: Sequence[Sequence[str]], site: Site, *, suite: str, umd: str,
    environment: Mapping[str, str],
) -> str:  # fmt: skip
    """The script of a job that follows the arrays: tables, or the report.

    Args:
        name: of the script.
        commands: arguments of umd, a list for each call.
        site: the cluster.
        suite: name of the suite.
        umd: the program umd.
        environment: variables to set.
    """
    lines = [
        "#!/bin/bash",
        f"# Suite {suite}: {name}, after the arrays. Written by umd suite slurm.",
        *_directives(f"umd.{suite}.{name}", f"{name}-%j.log", site),
        f"#SBATCH --cpus-per-task={site.cpus}",
        f"#SBATCH --mem={int(2 * site.memory_gib * GIB / MIB)}M",
        f"#SBATCH --time={site.time}",
        "",
        *_preparation(site, environment),
        "set -e",
        *(f"{umd} {shlex.join(words)}" for words in commands),
    ]
    return "\n".join(lines) + "\n"


def _directives(name: str, log: str, site: Site) -> list[str]:
    return [
        f"#SBATCH --job-name={name}",
        f"#SBATCH --output=logs/{log}",
        "#SBATCH --open-mode=append",
        *(f"#SBATCH {option}" for option in site.options),
    ]


def _preparation(site: Site, environment: Mapping[str, str]) -> list[str]:
    lines = ["set -u"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines += [f"export {name}={_expandable(value)}" for name, value in site.environment.items()]
    return [*lines, *site.setup]


def _expandable(value: str) -> str:
    """A value within double quotes, so that the node's variables are read."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`")
    return f'"{escaped}"'


def _load(model: str, site: Site, umd: str) -> list[str]:
    """Load the model's image, which a node that has it does not do again."""
    if site.images is None or site.engine == "local":
        return []
    archive = shlex.quote(f"{site.images}/{model}.tar")
    return [f"{umd} models load --once --engine {site.engine} {archive} || exit", ""]
