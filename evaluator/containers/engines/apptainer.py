"""The command lines of ``apptainer`` (and of ``singularity``, its older name). Pure functions.

Options are those of apptainer 1.x and singularity 3.8 and later. Apptainer itself could not be
installed where the evaluator is tested: the tests compare command lines, and run a stand-in with
the same command line (``tests/apptainer_standin.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.containers.engines.abilities import Abilities
from evaluator.containers.engines.podman import unmountable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.containers.engines.command_spec import ContainerSpec, Mount

#: variables of the user or the site with these prefixes add mounts and options to every container
PREFIXES = ("APPTAINER_", "SINGULARITY_", "APPTAINERENV_", "SINGULARITYENV_")
#: except these, which say where files go
KEPT = ("CACHEDIR", "TMPDIR", "CONFIGDIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApptainerFacts:
    """What is known of the installed program."""

    #: "apptainer" or "singularity"
    program: str
    version: str
    #: whether this machine has GPUs
    has_gpus: bool = False
    #: control groups of version 2, systemd and its bus are there for this user
    can_limit: bool

    @property
    def abilities(self) -> Abilities:
        """Which limits can be set."""
        return Abilities(
            memory=self.can_limit,
            processes=self.can_limit,
            cores=self.can_limit,
            temporary=False,
            hides_gpus=not self.has_gpus,
        )

    @property
    def reason(self) -> str:
        """Why limits cannot be set; empty if they can."""
        if self.can_limit:
            return ""
        return (
            f"{self.program} would need control groups of version 2 and a systemd session of the "
            "user; the limits of a cluster's job hold for all of it"
        )


def parse_version(text: str) -> str:
    """The version in the output of ``apptainer --version``; empty if there is none."""
    match = re.search(r"\b(\d+\.\d+\S*)", text)
    return match[1] if match else ""


def run_argv(spec: ContainerSpec, facts: ApptainerFacts, scratch: Path) -> list[str]:
    """Arguments after ``apptainer`` that run the container.

    Args:
        spec: the container; its image is the path of a SIF file.
        facts: of the program.
        scratch: folder of this machine for /tmp and for declared volumes.

    Raises:
        HostError: a folder's path cannot be written as a mount.
    """
    argv = ["run" if spec.entrypoint is None else "exec"]
    argv += ["--containall", "--net", "--network", "none"]
    # without a home that is mounted, --home says what HOME is
    argv += ["--no-home", "--home", spec.environment["HOME"]]
    argv += ["--no-privs", "--workdir", str(scratch)]
    argv += ["--pwd", spec.working_dir or "/"]
    if not spec.read_only_root:
        argv.append("--writable-tmpfs")
    if facts.abilities.memory:
        argv += ["--memory", str(spec.memory), "--pids-limit", str(spec.processes)]
        argv += ["--cpus", f"{spec.cpus:g}"] if spec.cpus else []
    for mount in spec.mounts:
        argv += _mount(mount)
    for number, path in enumerate(spec.volumes):
        argv += ["--bind", f"{scratch / f'volume-{number}'}:{path}"]
    argv += ["--nv"] if spec.gpu else []
    environment = {key: text for key, text in spec.environment.items() if key != "HOME"}
    environment["CUDA_VISIBLE_DEVICES"] = spec.gpu or ""
    for key, text in environment.items():
        argv += ["--env", f"{key}={text}"]
    return [*argv, spec.image, *(spec.entrypoint or ()), *spec.command]


def _mount(mount: Mount) -> list[str]:
    source = str(mount.source)
    if ":" not in source and "," not in source:
        return ["--bind", f"{source}:{mount.target}:{'ro' if mount.read_only else 'rw'}"]
    if "," in source or '"' in source:
        raise unmountable(mount.source)
    parts = ["type=bind", f"source={source}", f"destination={mount.target}"]
    return ["--mount", ",".join(parts + (["ro"] if mount.read_only else []))]


def build_argv(sif: Path, source: str) -> list[str]:
    """Arguments that make a SIF file.

    Args:
        sif: the new file.
        source: ``docker-archive:FILE``, or ``docker://REFERENCE@DIGEST``.
    """
    return ["build", "--force", str(sif), source]


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of the program, without variables that add mounts to its containers.

    Values and arguments are not evaluated by a shell, as with Docker.
    """
    environment = {}
    for name, text in variables.items():
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
        if not prefix or name.removeprefix(prefix) in KEPT:
            environment[name] = text
    return environment | {"APPTAINER_NO_EVAL": "1", "SINGULARITY_NO_EVAL": "1"}
