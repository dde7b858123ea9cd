"""Headers that contradict themselves, or say nothing of place, are found."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from evaluator.volumes.header_checks import check_header


def oblique(degrees=20.0):
    """A rotated, anisotropic, flipped affine."""
    a = np.radians(degrees)
    rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([-1.2, 1.5, 3.0])
    affine[:3, 3] = (30, -20, -50)
    return affine


def save(path, affine, *, sform=1, qform=1, qform_affine=None, pixdim=None, units="mm"):
    image = nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), affine)
    image.header.set_xyzt_units(units)
    image.set_sform(affine, sform)
    image.set_qform(affine if qform_affine is None else qform_affine, qform)
    if pixdim:
        image.header["pixdim"][1:4] = pixdim
    nibabel.save(image, path)
    return path


def found(path):
    return list(check_header(path))


@pytest.mark.parametrize("degrees", [0.0, 20.0, 137.0])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 1), (1, 0), (0, 1)])
def test_consistent_headers_have_no_findings(tmp_path, degrees, sform, qform):
    assert found(save(tmp_path / "a.nii.gz", oblique(degrees), sform=sform, qform=qform)) == []


def test_sform_and_qform_at_two_places(tmp_path):
    other = oblique()
    other[0, 3] += 40
    ((severity, message),) = found(save(tmp_path / "a.nii.gz", oblique(), qform_affine=other))
    assert severity == "warning"
    assert "sform and qform contradict" in message
    assert "40 mm" in message


def test_sform_and_qform_that_differ_by_rounding(tmp_path):
    other = oblique()
    other[0, 3] += 0.01
    assert found(save(tmp_path / "a.nii.gz", oblique(), qform_affine=other)) == []


def test_no_place(tmp_path):
    ((severity, message),) = found(save(tmp_path / "a.nii.gz", oblique(0), sform=0, qform=0))
    assert severity == "warning"
    assert "no orientation and no position" in message


def test_voxel_sizes_that_differ_from_sform(tmp_path):
    path = save(tmp_path / "a.nii.gz", oblique(), qform=0, pixdim=(1.2, 1.5, 2.6))
    ((severity, message),) = found(path)
    assert severity == "warning"
    assert "pixdim says voxels of 1.2 x 1.5 x 2.6 mm and sform 1.2 x 1.5 x 3 mm" in message


@pytest.mark.parametrize(
    ("degrees", "severity"), [(0.05, "note"), (1.0, "warning"), (12, "warning")]
)
def test_shear(tmp_path, degrees, severity):
    affine = oblique()
    affine[:3, 2] += affine[:3, 1] / 1.5 * 3.0 * np.tan(np.radians(degrees))
    findings = found(save(tmp_path / "a.nii.gz", affine, qform=0, pixdim=None))
    (axes,) = (entry for entry in findings if "directions of the axes" in entry[1])
    assert axes[0] == severity
    assert ("shear" in axes[1]) == (severity == "warning")


def test_units_of_length(tmp_path):
    affine = oblique()
    affine[:3] *= 1000
    ((severity, message),) = found(save(tmp_path / "a.nii.gz", affine, units="micron"))
    assert severity == "warning"
    assert "micrometres" in message


def test_a_file_that_cannot_be_read_has_no_findings_here(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    assert found(tmp_path / "a.nii.gz") == []
    assert found(tmp_path / "missing.nii.gz") == []
