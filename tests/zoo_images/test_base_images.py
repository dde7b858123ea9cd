"""A base image of another Python fails the build with a sentence, not every request afterwards."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from evaluator.errors import BuildError
from evaluator.zoo.base_images import ensure_base
from evaluator.zoo.docker_client import BuildClient
from tests.conftest import skip_outside_ci

#: a Debian release whose Python is not 3.11
RELEASE, PYTHON = "trixie", "3.13"
IMAGE = "umd/bootstrap:other-python"


@pytest.fixture(scope="module")
def other_python(docker_engine, tmp_path_factory) -> str:
    """A base image of another Python, from Debian's packages."""
    if shutil.which("mmdebstrap") is None:
        skip_outside_ci("needs mmdebstrap")
    builder = BuildClient(docker_engine.client)
    if builder.find(IMAGE) is None:
        tar = tmp_path_factory.mktemp("root") / "root.tar"
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3", RELEASE, str(tar)],
            check=True,
            capture_output=True,
        )
        builder.import_tar(tar, *IMAGE.split(":"))
    return IMAGE


def test_a_base_image_of_another_python_does_not_build(other_python, docker_engine, monkeypatch):
    monkeypatch.setenv("UMD_BASE", other_python)
    with pytest.raises(BuildError, match="base image umd/base does not build") as error:
        ensure_base("base", BuildClient(docker_engine.client))
    assert (
        f"THE IMAGE DOES NOT FIT: it has Python {PYTHON}, and its packages are for Python 3.11"
    ) in str(error.value)
