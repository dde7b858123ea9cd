"""The check of an image's Python, torch and packages, and of a GPU that was handed over."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest

from evaluator import paths
from evaluator.zoo import zoo
from evaluator.zoo.base_images import TORCH
from evaluator.zoo.sources import lock_path, locked, read_sources
from evaluator.zoo.wheels import PYTHON
from zoo_sdk import gpu, image_check

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
CHECK = re.compile(r"^RUN python3 -m zoo_sdk\.image_check (.+)$", flags=re.MULTILINE)


def run(*words: str, capsys) -> tuple[int, str]:
    code = image_check.main(list(words))
    return code, capsys.readouterr().err


def test_an_image_that_fits_passes(capsys, tmp_path):
    adapter = tmp_path / "adapter.py"
    adapter.write_text("VALUE = 1\n")
    assert run(f"python={THIS}", "json", str(adapter), capsys=capsys) == (0, "")


def test_another_python_is_named(capsys):
    code, message = run("python=3.7", "json", capsys=capsys)
    assert code == 1
    assert f"it has Python {THIS}, and its packages are for Python 3.7" in message
    assert "UMD_BASE" in message


def test_a_module_compiled_for_another_python_is_named(capsys, monkeypatch, tmp_path):
    name = "_multiarray_umath.cpython-37-x86_64-linux-gnu.so"
    (tmp_path / "packages" / "numpy").mkdir(parents=True)
    (tmp_path / "packages" / "numpy" / name).write_bytes(b"")
    monkeypatch.setattr(image_check, "PACKAGES", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "packages")])
    code, message = run("json", capsys=capsys)
    assert code == 1
    assert f"{name} is compiled for Python 3.7, and the image has Python {THIS}" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("1/0", "ZeroDivisionError"),
    ],
)
def test_an_import_that_fails_is_named(capsys, tmp_path, text, message):
    adapter = tmp_path / "adapter.py"
    adapter.write_text(text)
    code, printed = run(str(adapter), capsys=capsys)
    assert code == 1
    assert f"{adapter} cannot be imported with Python" in printed
    assert message in printed


def test_another_torch_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.10.0+cu128"))
    assert run("torch=2.10.0", capsys=capsys)[0] == 0
    code, message = run("torch=2.13.0", capsys=capsys)
    assert code == 1
    assert "it has torch 2.10.0+cu128, and the zoo is tested with 2.13.0" in message


def test_every_dockerfile_has_the_check():
    """With the versions of the base images, the adapter, and a package of the model's lock."""
    folder = paths.project() / "dockerfiles"
    torch = TORCH.replace("==", "=")
    assert CHECK.findall((folder / "base.Dockerfile").read_text())[0].split()[0] == (
        f"python={PYTHON}"
    )
    assert CHECK.findall((folder / "torch.Dockerfile").read_text())[0].split()[:2] == [
        f"python={PYTHON}",
        torch,
    ]
    for model in zoo():
        text = model.dockerfile.read_text()
        (words,) = (found.split() for found in CHECK.findall(text))
        assert words[0] == f"python={PYTHON}", model.name
        assert words[-1] == "/opt/model/adapter.py", model.name
        sources = read_sources(model.name)
        assert sources
        assert (torch in words) == (sources.base == "umd/torch"), model.name
        if sources.packages:
            assert len(words) > 3, f"{model.name}: no package of {lock_path(sources.packages)}"
            assert locked(lock_path(sources.packages))


class Torch:
    """The parts of torch that tell whether a GPU can be used."""

    __version__ = "2.13.0"

    def __init__(self, cuda: str | None, fault: str = "", *, available: bool = False) -> None:
        def init() -> None:
            if fault:
                raise RuntimeError(fault)

        self.version = SimpleNamespace(cuda=cuda)
        self.cuda = SimpleNamespace(is_available=lambda: available, init=init)


@pytest.mark.parametrize(
    ("torch", "reason"),
    [
        (Torch(None), "built for the CPU; build the image with --flavour cuda"),
        (
            Torch("13.0", "The NVIDIA driver on your system is too old (found version 11040)"),
            "the driver is too old for CUDA 13.0",
        ),
        (
            Torch("13.0", "Found no NVIDIA driver on your system. Please check"),
            "install the NVIDIA container toolkit",
        ),
        (Torch("13.0", "CUDA unknown error"), "CUDA unknown error"),
        (Torch("13.0"), "a MIG slice needs its own UUID"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_refused(monkeypatch, torch, reason):
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.delenv(gpu.GIVEN, raising=False)
    gpu.require_usable()
    monkeypatch.setenv(gpu.GIVEN, "GPU-1")
    with pytest.raises(gpu.UnusableGpu, match="handed over GPU GPU-1") as error:
        gpu.require_usable()
    assert reason in str(error.value)
    assert "--gpus none" in str(error.value)


def test_a_usable_gpu_or_a_model_without_torch_starts(monkeypatch):
    monkeypatch.setenv(gpu.GIVEN, "GPU-1")
    monkeypatch.setitem(sys.modules, "torch", Torch("13.0", available=True))
    gpu.require_usable()
    monkeypatch.delitem(sys.modules, "torch")
    gpu.require_usable()
