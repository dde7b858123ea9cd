"""DICOM studies from a folder to a dataset and back to DICOM-SEG; no identifier leaves."""

from __future__ import annotations

import gzip
import math
import os
import tarfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest

import evaluator
from evaluator.cli.data_import_dicom import holds_studies
from evaluator.datasets.dicom import Store, converted_survey, index_tree, make_plan
from evaluator.datasets.dicom.convert import convert_images
from evaluator.datasets.dicom.headers import Header, read_header
from evaluator.datasets.dicom.segmentations import read_segments
from evaluator.datasets.dicom.structure_names import file_name
from evaluator.datasets.dicom.workers import map_tasks
from evaluator.datasets.importing.tree import HIDDEN_FILE, READ_ALREADY
from evaluator.errors import DatasetError, HostError, VolumeError
from evaluator.volumes import read_image, read_labels
from tests.command import umd
from tests.dicom_studies import (
    BIRTH,
    DAY,
    NAME,
    NUMBER,
    UID_ROOT,
    make_contour,
    make_structures,
    plain,
    save,
    save_petct,
    save_series,
    square,
    uid,
)
from tests.tiny import PAINTER

#: what no output may hold, in small letters
SECRETS = [
    *NAME.lower().split("^"), NUMBER.lower(), BIRTH, DAY, "2019-08-23", UID_ROOT, "acc4711008",
    "medova",
]  # fmt: skip


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def in_store(cache, name="clinic"):
    return cache / "data" / f"{name}-from-dicom"


def import_(folder, output, name="clinic", *more):
    return umd("data", "import", folder, "--name", name, "--yes", "-o", output, *more)


def everything(folder):
    """Names and content of all files, decompressed."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            yield gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_a_petct_study_becomes_a_pair_without_identifiers(tmp_path, cache, messages):
    ct, pet = save_petct(tmp_path / "studies")
    save_petct(tmp_path / "studies", "PID4711099", name="Second Anonymova")
    (tmp_path / "studies" / "notes.txt").write_text(NAME)
    ended = import_(tmp_path / "studies", tmp_path / "out", "clinic", "--layout", "dicom")
    assert ended.returncode == 0, ended.stderr
    assert "2 sessions with CT+PT" in ended.stdout
    store = in_store(cache)
    assert umd("data", "show", tmp_path / "out/clinic.toml").returncode == 0

    about = (store / "private/sources/S001/1/CT.nii.gz.json").read_text()
    folder = store / ("S001/1" if "Zuzka Anonymova" in about else "S002/1")
    hu, grid = read_image(folder / "CT.nii.gz")
    stored = np.stack([entry.pixel_array for entry in ct])
    assert (hu == stored.transpose(2, 1, 0) - 1024).all()
    suv, pet_grid = read_image(folder / "PT.nii.gz")
    factor = 70_000 / (3.5e8 * math.exp(-math.log(2) * 3600 / 6588))
    activity = [entry.pixel_array * float(entry.RescaleSlope) for entry in pet]
    np.testing.assert_allclose(suv, np.stack(activity).transpose(2, 1, 0) * factor, rtol=1e-6)
    # LPS to RAS: the first voxel of CT is at 0, of PET at 1, 1, 0
    np.testing.assert_allclose(np.array(grid.affine), np.diag([-2.0, -2.0, 3.0, 1.0]), atol=1e-9)
    np.testing.assert_allclose(np.array(pet_grid.affine)[:3, 3], (-1, -1, 0), atol=1e-9)

    liver, liver_grid = read_labels(folder / "CT-liver.nii.gz")
    assert liver_grid == grid
    # the square from 7 to 27 mm holds the centres 8, 10, ... 26
    expected = np.zeros(grid.shape, bool)
    expected[4:14, 4:14, 2:7] = True
    assert ((liver > 0) == expected).all()
    resampled, _ = read_labels(folder / "PT-liver.nii.gz")
    assert resampled.sum() == 5 * 5 * 5
    assert "those of the CT, resampled" in ended.stderr

    public = list(everything(tmp_path / "out"))
    for path in sorted(store.iterdir()):
        if path.name != "private":
            public += [path.name.encode(), *everything(path)]
    public += [ended.stdout.encode(), ended.stderr.encode(), *(m.encode() for m in messages)]
    assert any(b"S001" in content for content in public)
    for secret in [*SECRETS, "second"]:
        assert not any(secret.encode() in content.lower() for content in public), secret
    # the private folder holds paths, but nothing of the headers
    assert (store / "private").stat().st_mode & 0o077 == 0
    private = b"".join(everything(store / "private")).lower()
    for secret in (UID_ROOT, BIRTH, "medova", "acc4711008"):
        assert secret.encode() not in private
    assert nib.load(store / "S001/1/PT.nii.gz").header["descrip"].item() == b""


def test_a_second_import_converts_what_is_new_and_keeps_the_names(tmp_path, cache):
    save_petct(tmp_path / "studies")
    assert import_(tmp_path / "studies", tmp_path / "out").returncode == 0
    image = in_store(cache) / "S001/1/CT.nii.gz"
    before = image.stat().st_mtime_ns
    save_petct(tmp_path / "studies", "PID4711099", name="A")
    ended = import_(tmp_path / "studies", tmp_path / "out")
    assert "2 rows added, 2 were there" in ended.stderr
    assert image.stat().st_mtime_ns == before
    rows = (tmp_path / "out/clinic.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == ["S001", "S001", "S002", "S002"]


def test_refusals_name_the_series_and_the_element(tmp_path, cache):
    images = save_series(tmp_path / "s" / NAME, "PT", np.ones((3, 4, 4)), PatientWeight=None)
    structures = make_structures(images, {"lesion": [square(1, 5, 3)]})
    save(structures, tmp_path / "s" / "rs.dcm")
    ended = import_(tmp_path / "s", tmp_path / "out", "clinic", "--layout", "dicom")
    assert ended.returncode == 5
    assert "S001 series" in ended.stderr
    assert "Patient's Weight (0010,1030) is missing" in ended.stderr
    assert not any(secret in ended.stderr.lower() for secret in SECRETS)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_without_yes(tmp_path, cache):
    save_petct(tmp_path / "studies")
    ended = umd("data", "import", tmp_path / "studies", "--name", "clinic", "-o", tmp_path / "out")
    assert ended.returncode == 2
    assert "--yes" in ended.stderr
    assert not (tmp_path / "out").exists()
    assert not list(in_store(cache).glob("S*"))


@pytest.fixture
def tree(tmp_path):
    """Plan and convert the tree ``studies``, in this process."""

    def build():
        store = Store(tmp_path / "store")
        store.private.mkdir(parents=True, exist_ok=True)
        root = tmp_path / "studies"
        plan = make_plan(root, store, index_tree(root, store))
        return plan, convert_images(root, store, plan.images)

    return build


def test_names_of_structures_with_identifiers_are_replaced(tmp_path, tree):
    images = save_series(tmp_path / "studies", "CT", np.ones((4, 8, 8)))
    contours = [square(1, 9, 3)]
    names = {
        "GTV Anonymova": contours,
        "liver 20190823": contours,
        "bladder (wall)": contours,
        "GTVAnonymova": contours,
        "GTV_23.08.2019": contours,
        "PTV 50.4 60": contours,
    }
    save(make_structures(images, names), tmp_path / "studies" / "rs.dcm")
    plan, converted = tree()
    targets = [next(iter(entry.labels)) for entry in converted.scans[0].references]
    assert targets == [
        "structure-1", "structure-2", "bladder-wall", "structure-4", "structure-5", "PTV-50.4-60",
    ]  # fmt: skip
    assert len(plan.notes) == 4
    assert not any("nonymova" in note for note in plan.notes)


def test_contours_that_are_no_mask_are_sentences(tmp_path, tree):
    images = save_series(tmp_path / "studies", "CT", np.ones((4, 8, 8)))
    upright = np.array([(2, 2, 0), (2, 9, 0), (2, 9, 9), (2, 2, 9)], float)
    structures = make_structures(
        images,
        {
            "upright": [upright],
            "between": [square(1, 9, 4.4)],
            "outside": [square(1, 9, 90)],
            "empty": [square(2.2, 2.6, 3)],
            "point": [],
            "liver": [square(1, 9, 0), square(1, 9, 6), square(5, 13, 6)],
        },
    )
    structures.ROIContourSequence[4].ContourSequence = [make_contour([(1, 1, 1)], "POINT")]
    save(structures, tmp_path / "studies" / "rs.dcm")
    _, converted = tree()
    reasons = {entry.path.name.split("-")[1][:5]: entry.reason for entry in converted.left_out}
    assert "does not lie in a slice" in reasons["uprig"]
    assert "between two slices" in reasons["betwe"]
    assert "outside" in reasons["outsi"]
    assert "enclose no voxel" in reasons["empty"]
    assert "no closed contour" in reasons["point"]
    assert [next(iter(entry.labels)) for entry in converted.scans[0].references] == ["liver"]
    assert any(
        "no contour in 1 slice between the first and the last" in note for note in converted.notes
    )
    assert any("cross in 1 slice," in note for note in converted.notes)


def test_two_series_with_references_are_two_sessions(tmp_path, tree):
    for series in ("T1", "T2"):
        images = save_series(tmp_path / "studies" / series, "MR", np.ones((4, 8, 8)), series=series)
        structures = make_structures(images, {"liver": [square(1, 9, 3)]})
        save(structures, tmp_path / "studies" / f"{series}.dcm")
    save_series(tmp_path / "studies" / "T3", "MR", np.ones((5, 8, 8)), series="T3")
    plan, converted = tree()
    assert [(scan.session, scan.modality) for scan in converted.scans] == [("1", "MR"), ("2", "MR")]
    assert ["a second MR of its session" in entry.reason for entry in plan.left_out] == [True]


def test_an_enhanced_object_and_a_reference_on_it(tmp_path, tree):
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    enhanced = plain("MR", "enhanced")
    enhanced.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    enhanced.SOPInstanceUID = uid("enhanced")
    enhanced.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    enhanced.NumberOfFrames, enhanced.Rows, enhanced.Columns = 4, 5, 6
    enhanced.SamplesPerPixel, enhanced.PhotometricInterpretation = 1, "MONOCHROME2"
    enhanced.BitsAllocated = enhanced.BitsStored = 16
    enhanced.HighBit, enhanced.PixelRepresentation = 15, 0
    order = [2, 0, 3, 1]
    frames = []
    for k in order:
        position, frame = pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = [0.0, 0.0, 2.5 * k]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    shared, measures, plane = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [1.5, 2.0]
    plane.ImageOrientationPatient = [1.0, 0, 0, 0, 1.0, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    enhanced.SharedFunctionalGroupsSequence = [shared]
    enhanced.PerFrameFunctionalGroupsSequence = frames
    enhanced.PixelData = volume[order].astype("<u2").tobytes()
    save(enhanced, tmp_path / "studies" / "enhanced.dcm")
    save(make_structures([enhanced], {"liver": [square(1, 7, 2.5)]}), tmp_path / "studies/rs.dcm")
    _, converted = tree()
    (scan,) = converted.scans
    values, grid = read_image(scan.image)
    assert (values == volume.transpose(2, 1, 0)).all()
    np.testing.assert_allclose(np.array(grid.affine), np.diag([-2, -1.5, 2.5, 1]), atol=1e-9)


def test_voxels_that_cannot_be_decoded_are_a_sentence(tmp_path, tree):
    images = save_series(tmp_path / "studies", "CT", np.ones((3, 8, 8)))
    save(make_structures(images, {"liver": [square(1, 9, 3)]}), tmp_path / "studies" / "rs.dcm")
    path = next((tmp_path / "studies").glob("000-0.dcm"))
    path.write_bytes(path.read_bytes()[:-40])
    _, converted = tree()
    assert not converted.scans
    assert "cannot be decoded (Explicit VR Little Endian; ValueError)" in str(converted.left_out)


def test_headers_that_lie_cost_no_memory_and_no_import(tmp_path, tree):
    lies = {"A": {"Rows": 65535, "Columns": 65535}, "B": {"BitsStored": 20}, "C": {}}
    for series, lie in lies.items():
        folder = tmp_path / "studies" / series
        about = {"series": series, "subject": series, **lie}
        images = save_series(folder, "CT", np.ones((3, 8, 8)), **about)
        save(make_structures(images, {"liver": [square(1, 9, 3)]}), folder / "rs.dcm")
    _, converted = tree()
    assert [entry.reason[:28] for entry in converted.left_out] == [
        "the voxels cannot be decoded"
    ] * 2
    assert len(converted.scans) == 1
    assert file_name("l" * 300) == "l" * 64


def test_slices_with_other_doses_are_refused(tmp_path, tree):
    images = save_series(tmp_path / "studies", "PT", np.ones((3, 8, 8)))
    images[2].PatientWeight = 75.0
    path = next(tmp_path.rglob("*-2.dcm"))
    save(images[2], path)
    save(make_structures(images, {"lesion": [square(1, 9, 3)]}), tmp_path / "studies" / "rs.dcm")
    _, converted = tree()
    assert "weight, dose or times differ" in converted.left_out[0].reason


def test_the_index_is_resumed_and_sees_changes(tmp_path, monkeypatch):
    save_series(tmp_path / "studies", "CT", np.ones((5, 4, 4)))
    store = Store(tmp_path / "store")
    store.private.mkdir(parents=True)
    first = index_tree(tmp_path / "studies", store)
    text = store.index.read_bytes()
    # as if the computer had stopped while the third line was written
    store.index.write_bytes(b"\n".join(text.splitlines()[:2]) + b"\n" + text.splitlines()[2][:50])
    read = []
    monkeypatch.setattr(
        "evaluator.datasets.dicom.index.read_header",
        lambda root, path, key: read.append(path) or read_header(root, path, key),
    )
    assert index_tree(tmp_path / "studies", store) == first
    assert len(read) == 3
    (tmp_path / "studies" / first[0].path).write_bytes(b"something else")
    assert index_tree(tmp_path / "studies", store)[0].problem == "not a DICOM file"
    assert len(read) == 4


def test_files_that_cannot_be_read_end_no_import(tmp_path, monkeypatch):
    save_series(tmp_path / "studies", "CT", np.ones((3, 4, 4)))
    (tmp_path / "studies" / NAME).symlink_to(tmp_path / "studies" / NAME)
    (tmp_path / "studies" / "closed").mkdir()
    monkeypatch.setattr("os.scandir", lambda path, scan=os.scandir: scan(check_open(path)))
    assert holds_studies(tmp_path / "studies")
    store = Store(tmp_path / "store")
    store.private.mkdir(parents=True)
    headers = index_tree(tmp_path / "studies", store)
    assert [(header.path, header.problem) for header in headers if header.problem] == [
        (NAME, "a link that leads in a circle"),
        ("closed", "it cannot be read: Permission denied"),
    ]
    assert len(headers) == 5


def test_linked_folders_and_compressed_files_are_read(tmp_path):
    """As a folder of links into an archive, whose files are compressed one by one."""
    save_petct(tmp_path / "archive" / NAME)
    for path in sorted((tmp_path / "archive" / NAME).rglob("*.dcm"))[::2]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "first").symlink_to(tmp_path / "archive" / NAME)
    (folder / "second").symlink_to(tmp_path / "archive" / NAME)
    (folder / "cut.dcm.gz").write_bytes(gzip.compress(b"x" * 1000)[:12])
    image = next((tmp_path / "archive").rglob("*.dcm.gz")).read_bytes()
    (folder / "half.dcm.gz").write_bytes(image[: len(image) // 4])
    (folder / "._IM1").write_bytes(b"x")
    assert holds_studies(folder)
    store = Store(tmp_path / "store")
    store.private.mkdir(parents=True)
    plan = make_plan(folder, store, index_tree(folder, store))
    assert [image.volume.modality for image in plan.images] == ["CT", "PT"]
    assert {(entry.label, entry.reason) for entry in plan.left_out} == {
        ("", "not a DICOM file"),
        ("", "its compressed content is damaged or incomplete"),
        ("", HIDDEN_FILE),
        ("", READ_ALREADY),
    }
    converted = convert_images(folder, store, plan.images)
    assert len(converted.scans) == 2
    # an identifier in the name of a folder is in the private table only
    assert NAME not in str(converted_survey(store, plan, converted).left_out)


def check_open(path):
    """Refuse to list a folder, as the system does to a user without permission."""
    if Path(path).name == "closed":
        raise PermissionError(13, "Permission denied", str(path))
    return path


def test_a_process_that_is_ended_from_outside_is_told():
    with pytest.raises(HostError, match="ended from outside"):
        list(map_tasks(os._exit, [1, 1], 2))
    assert list(map_tasks(abs, [-1, 2], 2)) == [1, 2]


def test_headers_hold_no_identifier(tmp_path):
    (image, *_), _ = save_petct(tmp_path)
    path = next(tmp_path.rglob("PET/1.dcm"))
    header = read_header(path.parent, path.name, b"key")
    assert header.subject
    assert not any(secret in str(header).lower() for secret in SECRETS)
    assert read_header(path.parent, path.name, b"other").subject != header.subject
    assert image.PatientName == NAME


def shipped():
    """The files that pydicom ships."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    return folder, sorted(path for path in folder.rglob("*") if path.is_file())


def test_every_file_of_pydicom_ends_in_an_image_or_a_sentence(tmp_path):
    root, files = shipped()
    store = Store(tmp_path / "store")
    store.private.mkdir(parents=True)
    headers = index_tree(root, store)
    plan = make_plan(root, store, headers)
    sentences = {path for entry in plan.left_out for path in entry.files}
    assert all(entry.reason for entry in plan.left_out)
    images = {header.path for image in plan.images for header in image.volume.stack.headers}
    assert sentences | images == {path.relative_to(root).as_posix() for path in files}
    assert any("no RTSTRUCT or DICOM-SEG" in entry.reason for entry in plan.left_out)


@pytest.mark.parametrize(
    "name", ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"]
)
def test_every_transfer_syntax_gives_the_same_voxels(name):
    from evaluator.datasets.dicom.voxels import _planes

    root, _ = shipped()
    (_, plane), (_, expected) = (
        next(_planes(root, [Header(path=f"MR_small{part}.dcm", size=0, changed=0)]))
        for part in (f"_{name}", "")
    )
    assert (plane == expected).all()


def test_masks_return_as_dicom_seg_and_are_imported_again(tmp_path, cache, project, monkeypatch):
    from tests.conftest import order

    project({"painter": PAINTER})
    save_petct(tmp_path / "studies")
    assert import_(tmp_path / "studies", tmp_path / "out").returncode == 0
    run = order("painter", tmp_path / "out/clinic.toml", "box", engine="local", name="a-run")
    refused = umd("export", run.path, "--format", "dicom-seg", "-o", tmp_path / "seg")
    assert "--keep-ids" in refused.stderr
    ended = umd("export", run.path, "--format", "dicom-seg", "-o", tmp_path / "seg", "--keep-ids")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "seg").iterdir()) == [
        "S001_1_CT.dcm", "S001_1_PT.dcm",
    ]  # fmt: skip
    predictions = evaluator.load(str(run.path)).predictions
    for row in predictions.itertuples():
        segmentation = hd.seg.segread(tmp_path / "seg" / f"S001_1_{row.modality}.dcm")
        assert segmentation.PatientID == NUMBER
        volume = segmentation.get_volume(combine_segments=False)
        mask, grid = run.masks.read(row.mask)
        filled = np.zeros(mask.shape, bool)
        to_mask = np.linalg.inv(np.array(grid.affine)) @ np.diag([-1, -1, 1, 1])
        inside = np.argwhere(np.asarray(volume.array)[..., 0])
        index = (to_mask @ volume.affine @ np.c_[inside, np.ones(len(inside))].T)[:3]
        filled[tuple(np.rint(index).astype(int))] = True
        assert (filled == (mask > 0)).all()
        assert mask.any()
    # the objects are references of the next dataset
    for path in (tmp_path / "studies").rglob("RS/*"):
        path.unlink()
    (tmp_path / "seg" / "S001_1_CT.dcm").rename(tmp_path / "studies" / "ct.dcm")
    ended = import_(tmp_path / "studies", tmp_path / "out", "again")
    assert ended.returncode == 0, ended.stderr
    mask, _ = read_labels(in_store(cache, "again") / "S001/1/CT-liver.nii.gz")
    (ct_mask,) = predictions[predictions["modality"] == "CT"]["mask"]
    assert (mask == run.masks.read(ct_mask)[0]).all()


@pytest.mark.shared
def test_sts_001_equals_the_nifti_of_ibsi(tmp_path, tree, shared_data):
    """FDG PET of a GE scanner and its RTSTRUCT, against two independent conversions."""
    with tarfile.open(next((shared_data / "10_sts001_dicom").glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "studies", filter="data")
    _, converted = tree()
    (scan,) = converted.scans
    suv, grid = read_image(scan.image)
    mass = next(entry.path for entry in scan.references if "GTV_Mass" in entry.labels)
    mask, _ = read_labels(mass)

    body, place = on_grid(shared_data / "02_sts001_wholebody_pet_mr/STS_001_FDG_PET.nii.gz", grid)
    np.testing.assert_allclose(suv[place], body.ravel(), rtol=1e-6)
    ibsi = shared_data / "01_ibsi_sts_pet_ct_mr/STS_001"
    crop, place = on_grid(ibsi / "PET_image.nii.gz", grid)
    ratio = suv[place][crop.ravel() > 1] / crop[crop > 1]
    assert abs(np.median(ratio) - 1) < 1e-5
    assert abs(suv[place].max() / crop.max() - 1) < 1e-5
    # IBSI's file holds some values one stored count lower: up to 3 Bq/ml, 0.0008 SUV
    assert (suv[place] - crop.ravel()).min() + 1e-5 >= 0
    assert (suv[place] - crop.ravel()).max() < 8e-4
    reference, place = on_grid(ibsi / "PET_mask.nii.gz", grid)
    inside = mask[place] > 0
    assert (inside == (reference.ravel() > 0)).all()
    assert inside.sum() == mask.sum()


def on_grid(path, grid):
    """The values of a NIfTI file, and the indices of its voxels on a grid."""
    image = nib.load(path)
    index = np.indices(image.shape).reshape(3, -1)
    corners = np.vstack([index, np.ones(index.shape[1])])
    moved = np.linalg.inv(np.array(grid.affine)) @ image.affine @ corners
    assert np.abs(moved - np.rint(moved)).max() < 1e-3
    return image.get_fdata(), tuple(np.rint(moved[:3]).astype(int))


def test_the_background_of_a_label_map_is_no_target():
    """As dcmqi writes it: segment 0, or a segment with the code of the background."""

    def segment(number, label, code):
        item, kind = pydicom.Dataset(), pydicom.Dataset()
        item.SegmentNumber, item.SegmentLabel = number, label
        kind.CodeValue, kind.CodingSchemeDesignator = code, "DCM" if number != 1 else "SCT"
        item.SegmentedPropertyTypeCodeSequence = [kind]
        return item

    dataset = pydicom.Dataset()
    dataset.SegmentSequence = [segment(0, "none", "1"), segment(1, "Liver", "10200004")]
    dataset.SegmentSequence.append(segment(2, "rest", "125040"))
    assert read_segments(dataset, b"key").names == {1: "Liver"}
    dataset.SegmentSequence = [segment(0, "none", "1")]
    with pytest.raises(VolumeError, match="background only"):
        read_segments(dataset, b"key")


def test_images_of_other_origin_have_no_dicom_seg(tmp_path):
    from evaluator.datasets.dicom import source_files

    with pytest.raises(DatasetError, match="not imported from DICOM"):
        source_files(tmp_path / "S001" / "1" / "CT.nii.gz")


def test_other_commands_point_to_the_import(tmp_path):
    save_petct(tmp_path / "studies")
    (tmp_path / "masks").mkdir()
    folders = umd("score", "--prediction", tmp_path / "masks", "--reference", tmp_path / "studies")
    file = next((tmp_path / "studies").rglob("*.dcm"))
    files = umd("score", "--prediction", file, "--reference", file)
    for ended in (folders, files):
        assert ended.returncode != 0
        assert "umd data import FOLDER --layout dicom" in ended.stderr
