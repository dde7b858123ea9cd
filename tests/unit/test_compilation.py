"""Compiled functions in a read-only installation, for a user without a home folder."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluator import compilation
from evaluator.imaging.geometry import make_grid
from evaluator.volumes import write_volume
from tests.conftest import skip_outside_ci

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def read_only_copy(tmp_path: Path) -> Path:
    """The evaluator's files in folders that cannot be written, without compiled functions."""
    copy = tmp_path / "installation"
    no_cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "evaluator", copy / "evaluator", ignore=no_cache)
    shutil.copytree(PROJECT / "models" / "sdk", copy / "models" / "sdk", ignore=no_cache)
    shutil.copytree(PROJECT / "manifests", copy / "manifests")
    shutil.copy(PROJECT / "pyproject.toml", copy)
    folders = [copy, *(path for path in copy.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield copy
    for folder in folders:
        folder.chmod(0o755)


def run_there(
    copy: Path, program: str, arguments: list[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of the copy as a user who can write neither it nor a home folder."""
    # root may write everything, unless its capabilities are taken away
    as_user = []
    if os.getuid() == 0:
        if not shutil.which("setpriv"):
            skip_outside_ci("root without setpriv can write every folder")
        as_user = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(copy / "home"),
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(
            [str(copy), str(copy / "models" / "sdk"), *filter(None, sys.path)]
        ),
    }
    return subprocess.run(
        [*as_user, sys.executable, "-c", program, *arguments],
        env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_read_only_installation_keeps_compiled_functions_in_a_temporary_folder(
    read_only_copy: Path, tmp_path: Path
) -> None:
    program = (
        "import logging, sys; logging.basicConfig(level=logging.INFO); import numpy; "
        "from evaluator.metrics.target_measurement import labels_in; import evaluator.statistics; "
        "import evaluator; print(evaluator.__file__, labels_in(numpy.ones((3, 4, 5), 'uint8')))"
    )
    first = run_there(read_only_copy, program, [], tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{read_only_copy / 'evaluator' / '__init__.py'} [1]\n"
    folder = tmp_path / f"umd-compiled-{os.getuid()}"
    assert first.stderr.count("compiling functions") == 1
    assert str(folder) in first.stderr
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("*.nbc"))
    again = run_there(read_only_copy, program, [], tmp_path)
    assert again.returncode == 0, again.stderr
    assert "compiling" not in again.stderr


@pytest.mark.slow
@pytest.mark.extended
def test_a_pair_is_scored_in_a_read_only_installation(read_only_copy: Path, tmp_path: Path) -> None:
    mask = np.zeros((12, 10, 9), dtype=np.uint8)
    mask[3:8, 2:7, 2:6] = 1
    write_volume(tmp_path / "mask.nii.gz", mask, make_grid(mask.shape, np.diag([1, 1, 2, 1])))
    program = "from evaluator.cli.main import main; main()"
    pair = ["score", "--prediction", "mask.nii.gz", "--reference", "mask.nii.gz"]
    scored = run_there(read_only_copy, program, pair, tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert " ok      1.0000 " in scored.stdout


def test_a_folder_that_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = compilation._temporary_folder()
    assert folder == tmp_path / f"umd-compiled-{os.getuid()}"
    folder.chmod(0o777)
    assert compilation._temporary_folder() is None
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert compilation._temporary_folder() is None


def test_functions_that_cannot_be_kept_are_compiled_without_a_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilation, "CACHED", False)
    function = compilation.njit(cache=True, nogil=True)(lambda value: value + 1)
    assert function(1) == 2
    assert "in every command" in compilation._message()
