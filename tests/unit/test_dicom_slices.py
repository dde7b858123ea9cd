"""Slices become a volume only on one grid; everything else is a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.datasets.dicom.headers import Header
from evaluator.datasets.dicom.slices import stack_slices
from evaluator.imaging.geometry import to_world

AXIAL = (1.0, 0, 0, 0, 1.0, 0)


def header(place, number=0, orientation=AXIAL, **fields):
    values = {"kind": "image", "modality": "CT", "rows": 5, "columns": 7, "spacing": (2.0, 3.0)}
    values |= {"instance": f"i{number}", "image_type": ("ORIGINAL",)} | fields
    return Header(
        path=f"{number}.dcm", size=1, changed=1, position=tuple(map(float, place)),
        orientation=tuple(map(float, orientation)), **values,
    )  # fmt: skip


def axial(heights, **fields):
    return [header((1, 2, z), number, **fields) for number, z in enumerate(heights)]


def reason(headers):
    stacks, refused = stack_slices(headers)
    assert not stacks
    return " / ".join(entry.reason for entry in refused)


@settings(max_examples=25)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    order=st.permutations(range(6)),
    backwards=st.booleans(),
    step=st.floats(0.5, 6),
)
def test_any_orientation_and_order_as_itk_places_it(angles, order, backwards, step):
    """Oblique, flipped, anisotropic: the world positions are those of ITK (LPS)."""
    turn = sitk.Euler3DTransform((0, 0, 0), *np.radians(angles))
    directions = np.array(turn.GetMatrix()).reshape(3, 3)
    origin = np.array([11.0, -7.0, 5.0])
    normal = directions[:, 2] * (-step if backwards else step)
    orientation = (*directions[:, 0], *directions[:, 1])
    slices = [header(origin + k * normal, k, orientation) for k in order]
    (stack,), refused = stack_slices(slices)
    assert not refused
    image = sitk.Image(7, 5, 6, sitk.sitkUInt8)
    image.SetSpacing((3.0, 2.0, step))
    image.SetDirection(np.column_stack([*directions.T[:2], directions[:, 2]]).ravel().tolist())
    image.SetOrigin((origin + (5 * normal if backwards else 0)).tolist())
    for index in ((0, 0, 0), (6, 4, 5), (2, 3, 1)):
        place = np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        np.testing.assert_allclose(to_world(np.array(stack.grid.affine), index), place, atol=1e-9)
    heights = [float(directions[:, 2] @ np.array(h.position)) for h in stack.headers]
    assert heights == sorted(heights)


def test_rounded_positions_are_one_grid():
    stacks, refused = stack_slices(axial([0, 3.27, 6.54, 9.81, 13.07, 16.35]))
    assert len(stacks) == 1
    assert not refused


def test_a_tilted_gantry_keeps_its_shear():
    shift = np.tan(np.radians(20)) * 3
    slices = [header((0, k * shift, 3 * k), k) for k in range(4)]
    (stack,), _ = stack_slices(slices)
    assert "tilted by 20.0 degrees" in stack.notes[0]
    np.testing.assert_allclose(np.array(stack.grid.affine)[:3, 2], (0, -shift, 3), atol=1e-12)


def test_missing_uneven_and_few_slices_are_told():
    assert "2 slices are missing" in reason(axial([0, 3, 6, 15, 18]))
    assert "unevenly spaced, 3 to 4.5 mm" in reason(axial([0, 3, 6, 10.5, 15]))
    assert "2 slices are no volume" in reason(axial([0, 3]))
    bent = [*axial([0, 3, 6, 9]), header((1, 9, 12), 4)]
    assert "off a straight line" in reason(bent)


def test_localizers_and_mixed_orientations_are_told():
    coronal = [header((0, k, 0), k + 10, (1, 0, 0, 0, 0, -1)) for k in range(2)]
    assert "mixed" in reason([*axial([0, 3]), *coronal])
    stacks, refused = stack_slices([*axial([0, 3, 6]), *coronal])
    assert len(stacks) == 1
    assert "mixed" in refused[0].reason
    assert reason(axial([0, 3, 6], image_type=("ORIGINAL", "LOCALIZER"))) == "a localizer"
    moved = [replace(entry, frame="other") for entry in axial([0, 3, 6, 9])[2:]]
    assert "frames of reference are mixed" in reason([*axial([0, 3]), *moved])


@pytest.mark.parametrize(
    ("field", "text"),
    [("position", "(0020,0032)"), ("orientation", "(0020,0037)"), ("spacing", "(0028,0030)")],
)
def test_missing_geometry_is_named(field, text):
    assert text in reason([replace(entry, **{field: None}) for entry in axial([0, 3, 6])])


def test_directions_that_are_not_at_right_angles_are_told():
    assert "right angles" in reason(axial([0, 3, 6], orientation=(1, 0, 0, 0.5, 0.8, 0)))


def repeated(key, values):
    slices = []
    for number, value in enumerate(values):
        slices += [
            replace(entry, instance=f"{value} {entry.instance}", keys={key: str(value)})
            for entry in axial([0, 3, 6])
        ]
        assert number < 9
    return slices


def test_echoes_are_volumes_and_times_are_refused():
    stacks, refused = stack_slices(repeated("EchoTime", [2.3, 4.6]))
    assert len(stacks) == 2
    assert not refused
    assert "dynamic or gated" in reason(repeated("AcquisitionTime", "abc"))
    assert "dynamic or gated" in reason(repeated("TriggerTime", [0, 100]))
    again = [replace(entry, instance=f"again {entry.instance}") for entry in axial([0, 3, 6])]
    assert "no element tells apart" in reason(axial([0, 3, 6]) + again)


def test_copies_and_identical_slices_count_once():
    twice = axial([0, 3, 6]) + [replace(entry, path="copy.dcm") for entry in axial([0, 3, 6])]
    (stack,), refused = stack_slices(twice)
    assert len(stack.headers) == 3
    assert not refused
    renumbered = [replace(entry, instance=f"x{entry.instance}") for entry in axial([0, 3, 6])]
    (stack,), _ = stack_slices(axial([0, 3, 6]) + renumbered, lambda _slices: True)
    assert len(stack.headers) == 3
