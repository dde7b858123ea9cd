"""Sites: how a cluster with Slurm wants its jobs. Read from a TOML file of the user."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.errors import ManifestError
from evaluator.manifests.faults import invalid_manifest

#: a time as Slurm reads it: days-hours:minutes:seconds, or hours:minutes:seconds
TIME = r"^(\d+-)?\d{1,3}:\d{2}:\d{2}$"


class GpuClass(BaseModel):
    """One kind of GPU of the cluster, and how a job asks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: memory of one GPU, GiB
    memory_gib: float = Field(gt=0)
    #: option of sbatch
    option: str = Field(pattern=r"^--[^\n]+$")


class Site(BaseModel):
    """How jobs are submitted on one cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: container engine on the nodes
    engine: Literal["auto", "docker", "podman", "podman-socket", "apptainer", "local"] = "podman"
    #: the program umd as the nodes find it; empty: the one that submits
    umd: str = Field("", pattern=r"^[^\n]*$")
    #: options of sbatch for every job, such as "--partition=gpu"
    options: tuple[str, ...] = ()
    #: kinds of GPUs; empty: "--gres=gpu:1" for every model that uses a GPU
    gpus: tuple[GpuClass, ...] = ()
    #: lines of bash before umd, such as "module load apptainer"
    setup: tuple[str, ...] = ()
    #: environment variables of the jobs
    environment: dict[str, str] = Field(default_factory=dict)
    #: folder with images as <model>.tar, which each node loads once; None: nodes have the images
    images: str | None = None
    #: tasks into which each run is divided; a subject is in one of them
    shards: int = Field(4, ge=1)
    #: tasks of one array that run at the same time; None: as many as Slurm lets
    at_once: int | None = Field(None, ge=1)
    #: cores of a task
    cpus: int = Field(4, ge=1)
    #: memory of umd itself beside the model's, GiB
    memory_gib: float = Field(4.0, gt=0)
    #: time of a task where no earlier run tells it
    time: str = Field("12:00:00", pattern=TIME)
    #: the longest time that the cluster grants
    longest: str = Field("24:00:00", pattern=TIME)
    #: write the report after the tables
    report: bool = True
    #: how often a task is begun, at most
    attempts: int = Field(3, ge=1)


def load_site(path: Path | None) -> Site:
    """Read a site's file; the defaults without one.

    Raises:
        ManifestError: the file cannot be read or is invalid; the message names file and field.
    """
    if path is None:
        return Site.model_validate({})
    try:
        return Site.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise invalid_manifest(path, error) from None


def parse_time(text: str) -> int:
    """Seconds of a time as Slurm writes it, such as 1-02:00:00."""
    days, _, clock = text.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def format_time(seconds: float) -> str:
    """A time as Slurm reads it, rounded up to minutes."""
    minutes = -(-int(seconds) // 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:00"
