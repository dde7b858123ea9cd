"""The masks of a scan lie in one archive; those of older runs are separate files."""

from __future__ import annotations

import gzip
import os
import shutil
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.errors import HostError, VolumeError
from evaluator.imaging.geometry import make_grid
from evaluator.imaging.grid_masks import crop_mask
from evaluator.runs import mask_files
from evaluator.runs.damaged_files import remove_unfinished
from evaluator.runs.mask_files import MaskFiles, MaskWriter

FIXTURE = Path(__file__).parents[1] / "fixtures/format-1/runs"
AFFINE = np.array([[-2.0, 0.3, 0, 5], [0.2, 1.5, 0.1, -7], [0, -0.2, 3, 11], [0, 0, 0, 1]])


def random_mask(seed: int, shape: tuple[int, int, int] = (7, 5, 4)):
    array = np.random.default_rng(seed).random(shape) < 0.3
    return array, crop_mask(array, make_grid(shape, AFFINE))


def write_scan(folder: Path, masks: dict[str, object]):
    writer = MaskFiles(folder).writer("a.a", "CT")
    files = [
        writer.add(mask, seed=0, round_number=number, target=target)
        for number, (target, mask) in enumerate(masks.items())
    ]
    writer.write()
    writer.remove_earlier()
    return files


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
    st.integers(0, 2**32 - 1),
)
def test_masks_come_back_with_any_target_names(tmp_path_factory, targets, seed):
    folder = tmp_path_factory.mktemp("run")
    arrays = {target: random_mask(seed + n) for n, target in enumerate(targets)}
    files = write_scan(folder, {target: mask for target, (_, mask) in arrays.items()})
    masks = MaskFiles(folder)
    for file, (array, mask) in zip(files, arrays.values(), strict=True):
        labels, grid = masks.read(file.file)
        assert np.array_equal(labels, array)
        assert np.allclose(grid.affine, AFFINE, atol=1e-5)
        assert file.voxels == mask.voxel_count == array.sum()
    assert masks.problems(files, trusted=False) == masks.problems(files, trusted=True) == {}
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


def test_other_programs_read_the_archive(tmp_path):
    array, mask = random_mask(1)
    (file,) = write_scan(tmp_path, {"liver": mask})
    archive = tmp_path / "masks/a.a/CT.zip"
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    unpacked = tmp_path / "unpacked/s0/r0/liver.nii.gz"
    assert np.array_equal(np.asarray(nibabel.load(unpacked).dataobj), array)
    assert unpacked.read_bytes() == MaskFiles(tmp_path).content(file.file)
    extracted = MaskFiles(tmp_path).extract(file.file, tmp_path / "extracted")
    assert extracted.read_bytes() == unpacked.read_bytes()
    before = archive.read_bytes()
    write_scan(tmp_path, {"liver": mask})
    assert archive.read_bytes() == before  # nothing depends on the time


def test_an_archive_that_was_packed_anew_or_is_torn(tmp_path):
    _, mask = random_mask(2)
    files = write_scan(tmp_path, {"liver": mask, "spleen": mask})
    masks, archive = MaskFiles(tmp_path), tmp_path / "masks/a.a/CT.zip"
    with zipfile.ZipFile(archive) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    assert masks.problems(files, trusted=True) == {}
    assert masks.content(files[1].file) == contents["s0/r1/spleen.nii.gz"]
    body = archive.read_bytes()
    for torn in (b"", body[:100], body[: len(body) - 1], b"\0" * len(body)):
        archive.write_bytes(torn)
        assert set(masks.problems(files, trusted=True)) == {file.file for file in files}
        with pytest.raises(VolumeError, match=r"CT\.zip"):
            masks.read(files[0].file)


def test_a_changed_byte_is_found(tmp_path):
    _, mask = random_mask(3)
    files = write_scan(tmp_path, {"liver": mask, "spleen": mask})
    masks, archive = MaskFiles(tmp_path), tmp_path / "masks/a.a/CT.zip"
    body = bytearray(archive.read_bytes())
    body[body.index(b"\x1f\x8b") + 20] ^= 1
    archive.write_bytes(body)
    assert masks.problems(files, trusted=False)
    with pytest.raises(VolumeError, match="checksum"):
        masks.content(files[0].file)


def test_a_damaged_index_gives_no_other_mask_and_no_traceback(tmp_path):
    _, mask = random_mask(3)
    files = write_scan(tmp_path, {"liver": mask, "spleen": mask})
    masks, archive = MaskFiles(tmp_path), tmp_path / "masks/a.a/CT.zip"
    contents = {file.file: masks.content(file.file) for file in files}
    body = archive.read_bytes()
    variants = [body[first:] for first in (1, 50, len(body) // 2)]
    end = body.rindex(b"PK\x05\x06")
    for place in range(body.index(b"PK\x01\x02"), end + 22):  # the index, which has no checksum
        changed = bytearray(body)
        changed[place] ^= 0x80
        variants.append(bytes(changed))
    name = body.rindex(b"spleen")
    changed = bytearray(body)
    changed[name], changed[name - 46 - len("s0/r1/") + 9] = 0xFF, 0x08  # a name in UTF-8
    variants.append(bytes(changed))
    for variant in variants:
        archive.write_bytes(variant)
        mask_files._members.cache_clear()  # two of these files may have equal times
        problems = masks.problems(files, trusted=False)
        for file, content in contents.items():
            with suppress(VolumeError):
                assert masks.content(file) == content
                assert file not in problems or "damaged" in problems[file]


def test_a_record_with_a_name_that_is_no_mask(tmp_path):
    _, mask = random_mask(3)
    (file,) = write_scan(tmp_path, {"liver": mask})
    for name in ("", "liver.nii.gz", "masks/a.a/CT", "../other/CT/s0/r0/liver.nii.gz"):
        other = replace(file, file=name)
        assert set(MaskFiles(tmp_path).problems([other], trusted=True)) == {name}
        with pytest.raises(VolumeError):
            MaskFiles(tmp_path).content(name)


def test_masks_of_an_older_run_are_read_until_the_scan_is_done_again(tmp_path):
    array, mask = random_mask(4)
    (file,) = write_scan(tmp_path, {"liver": mask})
    content = MaskFiles(tmp_path).content(file.file)
    (tmp_path / "masks/a.a/CT.zip").unlink()
    older = tmp_path / file.file
    older.parent.mkdir(parents=True)
    older.write_bytes(content)
    masks = MaskFiles(tmp_path)
    assert masks.problems([file], trusted=False) == {}
    assert np.array_equal(masks.read(file.file)[0], array)
    other, mask = random_mask(5)
    (file,) = write_scan(tmp_path, {"liver": mask})
    assert not older.exists()
    assert np.array_equal(masks.read(file.file)[0], other)
    write_scan(tmp_path, {})
    with pytest.raises(VolumeError, match="No such file"):
        masks.content(file.file)
    assert set(masks.problems([file], trusted=True)) == {file.file}


def test_masks_of_the_oldest_format_are_read():
    paths = sorted(FIXTURE.glob("*/masks/*/*/*/*/*.nii.gz"))
    assert paths
    for path in paths:
        folder = FIXTURE / path.relative_to(FIXTURE).parts[0]
        labels, _ = MaskFiles(folder).read(str(path.relative_to(folder)))
        assert np.array_equal(labels, np.asarray(nibabel.load(path).dataobj))


def test_many_masks_wait_on_the_disk_and_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_files, "MOST_IN_MEMORY", 100)
    array, mask = random_mask(6)
    files = write_scan(tmp_path, {"liver": mask, "spleen": mask})
    assert len(gzip.decompress(MaskFiles(tmp_path).content(files[1].file))) == 352 + array.size
    folder = tmp_path / "full"
    folder.mkdir()
    folder.joinpath("masks").write_text("a file where a folder must be")
    with pytest.raises(HostError, match="could not write"):
        MaskWriter(folder, "a.a", "CT").add(mask, seed=0, round_number=0, target="liver")


def test_an_unfinished_archive_that_was_removed_is_not_begun_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_files, "MOST_IN_MEMORY", 100)
    _, mask = random_mask(6)
    writer = MaskWriter(tmp_path, "a.a", "CT")
    writer.add(mask, seed=0, round_number=0, target="liver")
    (part,) = (tmp_path / "masks/a.a").iterdir()
    part.unlink()
    with pytest.raises(HostError, match="could not write"):
        writer.add(mask, seed=0, round_number=0, target="spleen")
    with pytest.raises(HostError, match="could not write"):
        writer.write()
    assert list((tmp_path / "masks/a.a").iterdir()) == []


def test_files_of_killed_processes_are_removed_after_a_minute(tmp_path):
    _, mask = random_mask(7)
    (file,) = write_scan(tmp_path, {"liver": mask})
    before, present = (tmp_path / f"masks/a.a/.CT.zip.{pid}.part" for pid in (1, 2))
    before.write_bytes(b"half")
    present.write_bytes(b"half")
    os.utime(before, (0, 0))
    remove_unfinished(tmp_path, ("masks", "records"))
    assert not before.exists()
    assert present.exists()
    assert MaskFiles(tmp_path).content(file.file)
