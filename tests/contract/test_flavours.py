"""The CPU and CUDA flavours of an image differ in the build of torch and in nothing else."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.errors import ModelFilesError
from evaluator.zoo import base_images
from evaluator.zoo.sources import locked
from evaluator.zoo.wheels import PYTHON, ImagePlatform, unpack_wheels

LOCKS = sorted(
    [*paths.project().glob("models/*/requirements.lock"), paths.project() / "dockerfiles/base.lock"]
)
#: packages that only umd/torch may bring, because their builds differ between the flavours
OF_TORCH = re.compile(r"^(torch|torchvision|torchaudio|triton|nvidia-.*|cuda-.*)$")


def torch_command(flavour: str, folder: Path, monkeypatch) -> list[str]:
    """What pip is asked for when the packages of umd/torch are collected."""
    commands: list[list[str]] = []
    monkeypatch.setattr(base_images, "_run", lambda command, _: commands.append(command))
    base_images._packages("torch", flavour, folder / flavour)
    (command,) = commands
    return [word.replace(str(folder / flavour), "FOLDER") for word in command]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_no_lock_brings_another_torch(lock):
    names = list(locked(lock))
    assert names
    assert [name for name in names if OF_TORCH.match(name)] == []


def test_wheels_are_of_one_python_in_both_flavours():
    cpu, cuda = (ImagePlatform(flavour=flavour).pip_arguments for flavour in ("cpu", "cuda"))
    assert cpu == cuda
    assert cpu[:4] == ["--python-version", PYTHON, "--implementation", "cp"]


def test_torch_is_of_one_version_in_both_flavours(monkeypatch, tmp_path):
    monkeypatch.delenv(base_images.INDEX_VARIABLE, raising=False)
    monkeypatch.setenv("UMD_CACHE", str(tmp_path))
    cpu, cuda = (torch_command(flavour, tmp_path, monkeypatch) for flavour in ("cpu", "cuda"))
    assert base_images.TORCH in cuda
    assert cuda[cuda.index("--python-version") + 1] == PYTHON
    index = ["--extra-index-url", base_images.TORCH_CPU_INDEX]
    place = cpu.index(index[0])
    assert cpu[place : place + 2] == index
    assert cpu[:place] + cpu[place + 2 :] == cuda


def test_both_bases_have_the_python_of_the_wheels():
    """The public image, the Debian release, and what the message about neither says."""
    text = (paths.project() / "dockerfiles/base.Dockerfile").read_text()
    assert re.search(
        rf"^ARG BASE=python:{re.escape(PYTHON)}-\S+@sha256:[0-9a-f]{{64}}$", text, re.MULTILINE
    )
    assert f"Python {PYTHON}" in " ".join(base_images.HOW_TO_BOOTSTRAP.split())
    torch = (paths.project() / "dockerfiles/torch.Dockerfile").read_text()
    assert re.search(r"^ARG BASE=umd/base$", torch, re.MULTILINE)


def test_a_bundle_for_another_python_is_refused(tmp_path):
    """As an offline bundle of before a change of Python would be; pip names the file."""
    wheel = tmp_path / "thing-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing/__init__.py", "")
        archive.writestr("thing-1.0.dist-info/METADATA", "Name: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    platform = ImagePlatform(flavour="cuda", machine="x86_64")
    with pytest.raises(ModelFilesError, match=r"cp312-cp312.* is not a supported wheel"):
        unpack_wheels([wheel], platform, tmp_path / "out")
