"""Submissions survive workers that are killed and databases that restart, without a difference."""

from __future__ import annotations

import subprocess

import pytest

from tests.challenges.disturbances import Site, SmallDisk, disturb, ending_of
from tests.conftest import skip_outside_ci


@pytest.mark.slow
@pytest.mark.extended
def test_kills_and_restarts_change_nothing(tmp_path, postgres):
    models = {"blue": "ellipsoid", "red": "threshold"}
    quiet = Site.create(tmp_path / "quiet", "local")
    quiet.submit(models)
    quiet.work()
    expected = ending_of(quiet)
    assert expected.faults == []
    assert {content[0] for content in expected.teams.values()} == {"scored"}

    url = postgres.create("disturbed")
    site = Site.create(tmp_path / "disturbed", "local", url, quiet.folder.salt)
    site.submit(models)

    def restart() -> None:
        postgres.stop()
        postgres.start()

    assert disturb(site, 3, 1, {2: restart}) >= 1
    found = ending_of(site)
    assert found.faults == []
    assert found.teams == expected.teams


def test_a_full_disk_is_full(tmp_path):
    """The file system of the disturbances refuses a write, and takes it when it has space again."""
    try:
        disk = SmallDisk(tmp_path / "disk", 1)
    except (OSError, subprocess.CalledProcessError):
        skip_outside_ci("no file system can be mounted; needs root")
    try:
        disk.fill()
        with pytest.raises(OSError, match="No space"):
            (disk.folder / "x").write_bytes(b"x" * 4096)
        disk.free()
        (disk.folder / "x").write_bytes(b"x" * 4096)
    finally:
        disk.close()
