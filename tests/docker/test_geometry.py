"""The mask of a model that paints the prompted voxel lies at that world point, on any grid."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.imaging.geometry import affine_of, to_world
from evaluator.volumes import read_image
from tests.conftest import order
from tests.tiny import GRIDS, PAINTER, make_dataset


@pytest.mark.docker
def test_the_painted_voxel_lies_at_the_prompted_position(project, tmp_path, engine_name):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"), ("liver", "spleen"))
    run = order("painter", data, engine=engine_name)
    count = 0
    for record in run.records():
        prompts = _prompts(run, record)
        for entry in record.rounds:
            for target, prediction in entry.targets.items():
                mask, grid = run.masks.read(prediction.mask.file)
                (index,) = np.argwhere(mask)
                point = prompts[target].points[0]
                np.testing.assert_allclose(
                    to_world(affine_of(grid), index), point.ras_mm, atol=1e-4
                )
                np.testing.assert_allclose(
                    affine_of(grid), affine_of(GRIDS[record.modality]), atol=1e-6
                )
                count += 1
    assert count == 2 * 3 * 2


@pytest.mark.docker
def test_random_grids(project, tmp_path, engine_name):
    """The grids are random: oblique, flipped, anisotropic and not square."""
    from evaluator.imaging.geometry import make_grid, nearest_index
    from evaluator.volumes import write_volume

    generator = np.random.default_rng(11)
    project({"painter": PAINTER})
    make_dataset(tmp_path / "data", ["s0"], ("CT",))
    rows = ["subject\tsession\tmodality\timage\treference\tunit\tlabels"]
    positions = {}
    for n in range(12):
        Q, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = Q @ np.diag(generator.uniform(0.6, 5, 3) * generator.choice([-1, 1], 3))
        affine[:3, 3] = generator.uniform(-300, 300, 3)
        grid = make_grid(tuple(generator.integers(5, 17, 3)), affine.astype(np.float32))
        index = tuple(int(generator.integers(0, size)) for size in grid.shape)
        reference = np.zeros(grid.shape, np.uint8)
        reference[index] = 1
        positions[f"s{n}"] = to_world(affine_of(grid), np.array(index))
        assert nearest_index(grid, positions[f"s{n}"]) == index
        write_volume(
            tmp_path / "data" / f"{n}.nii.gz",
            generator.normal(size=grid.shape).astype(np.float32),
            grid,
        )
        write_volume(tmp_path / "data" / f"{n}_r.nii.gz", reference, grid)
        rows.append(f"s{n}\ta\tCT\t{n}.nii.gz\t{n}_r.nii.gz\tHU\tliver=1")
    (tmp_path / "data" / "tiny.tsv").write_text("\n".join(rows) + "\n")
    run = order("painter", tmp_path / "data" / "tiny.toml", engine=engine_name)
    for record in run.records():
        mask, grid = run.masks.read(record.rounds[0].targets["liver"].mask.file)
        (index,) = np.argwhere(mask)
        np.testing.assert_allclose(
            to_world(affine_of(grid), index), positions[record.subject], atol=1e-3
        )
    assert len(positions) == 12


SEES = """
import numpy as np
from zoo_sdk import Prediction, read_image

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        volume = read_image(request)
        return {t.name: volume.array == volume.array.max() for t in request.targets}
"""


@pytest.mark.docker
def test_the_model_reads_the_image_of_the_dataset(project, tmp_path, engine_name):
    project({"sees": SEES})
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "MR", "PT"))
    run = order("sees", data, engine=engine_name)
    for record in run.records():
        image, _ = read_image(tmp_path / "data" / f"a_{record.modality}_image.nii.gz")
        mask, _ = run.masks.read(record.rounds[0].targets["liver"].mask.file)
        np.testing.assert_array_equal(mask, image == image.max())


def _prompts(run, record):
    return run.prompts(record.case).scan(record.modality).prompts[0]
