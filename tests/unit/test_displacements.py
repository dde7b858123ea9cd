"""A prompt that falls beside an image's own reference is moved, and readers are told how far."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.analysis.displacements import displacements
from evaluator.analysis.summary import summarise
from evaluator.cli.show import print_table
from evaluator.imaging.geometry import affine_of, to_world
from evaluator.volumes import read_labels, write_volume
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


def test_how_far_a_prompt_was_moved_is_recorded_and_shown(project, tmp_path, capsys):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    labels, grid = read_labels(tmp_path / "data/a_PT_reference.nii.gz")
    places = to_world(affine_of(grid), np.argwhere(labels))
    only = np.zeros_like(labels)
    # the end of the organ, without the place where the CT's prompt lies
    end = np.argwhere(labels)[places[:, 0] > places[:, 0].mean() + 3]
    only[tuple(end.T)] = 1
    write_volume(tmp_path / "data/a_PT_reference.nii.gz", only, grid)
    run = order("painter", data, engine="local")
    moved = displacements(run)
    assert moved["liver", "CT"] == [0.0, 0.0]
    (one,) = (mm for mm in moved["liver", "PT"] if mm > 0)
    (ct,) = (r.rounds for r in run.records() if (r.case, r.modality) == ("a.a", "CT"))
    mask, own = run.masks.read(ct[0].targets["liver"].mask.file)
    drawn = to_world(affine_of(own), np.argwhere(mask)[0])
    assert one == pytest.approx(
        np.linalg.norm(drawn - to_world(affine_of(grid), end), axis=1).min(), abs=1e-4
    )
    entries = {entry["modality"]: entry["displacement_mm"] for entry in summarise(run)}
    assert entries == {"CT": 0.0, "PT": one}
    print_table(run)
    assert (
        "1 of 4 prompts with a point were outside the reference of their image"
        in capsys.readouterr().out
    )
    print_table(order("painter", data, "box", engine="local"))
    assert "with a point" not in capsys.readouterr().out
