"""Our SAM-Med3D against upstream's, same files, same random weights: a JSON line for each case.

Runs in an environment of its own (``sam_med3d.lock``), where torchio is of the version that
upstream's code needs. Upstream's preprocessing is called through torchio, by what
utils/infer_utils.py does with it. With a checkout of github.com/uni-medical/SAM-Med3D as argument,
its own functions are called instead (docs/validation/sam-med3d.md).

    python sam_med3d.py SIZE [CHECKOUT]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torchio

ROOT = Path(__file__).parents[3]
sys.path[:0] = [
    str(ROOT / "models/sdk"),
    str(ROOT / "models/sam-med3d"),
    str(Path(__file__).parent),
]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402
from volumes import VOLUMES, clicks_in, half_way, write_volume  # noqa: E402

from zoo_sdk import Grid, ImageFile, Request, Target, Volume  # noqa: E402
from zoo_sdk.files import _read_values  # noqa: E402
from zoo_transforms.resampling import voxel_grid_of, voxel_of  # noqa: E402

OPTIONS = {"large": "single", "clicks": "one-by-one"}


def main(size: str, checkout: str | None) -> None:
    """Compare all volumes."""
    theirs = load_checkout(checkout) if checkout else None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMD_WEIGHTS"] = folder
        random_weights.write(size, Path(folder))
        Path(folder, "random-weights.json").write_text(json.dumps({"weights": f"random:{size}"}))
        net = network.SamMed3D()
        for number, name in enumerate(VOLUMES):
            path = Path(folder, "image.nii.gz")
            write_volume(path, number, *VOLUMES[name])
            for clicks in (1, 3):
                print(
                    json.dumps(
                        {"volume": name, "clicks": clicks}
                        | compare(path, number, clicks, net, theirs)
                    ),
                    flush=True,
                )


def compare(path: Path, seed: int, count: int, net: network.SamMed3D, theirs) -> dict[str, object]:
    """Largest differences at each stage."""
    array, affine, integers = _read_values(path)
    image = Volume(array, affine, stores_integers=integers)
    grid = Grid(shape=array.shape, affine=tuple(map(tuple, affine.tolist())))
    network_grid = pipeline.network_grid_of(voxel_grid_of(grid))
    points = clicks_in(grid, seed, count)
    start = pipeline.crop_start(network_grid, points[0].ras_mm)
    voxels = np.array([voxel_of(network_grid, p.ras_mm) for p in points]) - start
    inside = tuple(
        (tuple(voxel), p.foreground)
        for voxel, p in zip(voxels.tolist(), points, strict=True)
        if min(voxel) >= 0 and max(voxel) < 128
    )

    subject = torchio.Subject(image=torchio.ScalarImage(path))
    geometry = subject.image.affine.copy(), subject.image.spatial_shape
    canonical = torchio.ToCanonical()(torchio.Resample(target=pipeline.SPACING)(subject))
    same_grid = tuple(canonical.spatial_shape) == network_grid.shape
    label = torch.zeros_like(canonical.image.data, dtype=torch.uint8)
    label[0][voxel_of(network_grid, points[0].ras_mm)] = 1
    canonical.add_image(torchio.LabelMap(tensor=label, affine=canonical.image.affine), "label")
    crop, standardise = (
        torchio.CropOrPad(mask_name="label", target_shape=(128,) * 3),
        torchio.ZNormalization(lambda x: x > 0),
    )
    if theirs:
        roi, mask, low, back = theirs(canonical, geometry, crop, standardise, net._module, inside)
    else:
        roi, mask, low, back = reenact(canonical, geometry, crop, standardise, net._module, inside)

    ours = pipeline.network_input(image, network_grid, start)
    request = Request(
        "r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, (Target("t", points=points),)
    )
    put = pipeline.predict(image, request, net, OPTIONS).masks["t"]
    state, embedding = None, net.embed(ours)
    for number in range(1, len(inside) + 1):
        state = net.decode(embedding, inside[:number], state)
    differ, tie = put != back, half_way(network_grid, grid)
    return {
        "shown": len(inside),
        "lattice": same_grid,
        "affine": float(abs(canonical.image.affine - network_grid.affine).max()),
        "input": float(abs(ours.array - roi[0, 0].numpy()).max()),
        "grey_value": float(1 / array[array > 0].std()) if integers else 0.0,
        "logits": float((state[1] - low).abs().max() / (low.max() - low.min())),
        "mask_voxels": int(mask.sum()),
        "mask_differs": int((net.mask(state) != mask).sum()),
        "back_differs": int(differ.sum()),
        "back_differs_off_ties": int((differ & ~tie).sum()),
        "back_voxels": int(back.sum()),
    }


def reenact(canonical, geometry, crop, standardise, module, clicks):
    """What upstream does, by the transforms and network parts that it calls."""
    cut = crop(canonical)
    roi = standardise(cut.image).data[None]
    low = torch.zeros(1, 1, 32, 32, 32)
    with torch.inference_mode():
        embedding = module.image_encoder(roi)
        for number in range(1, len(clicks) + 1):
            points = torch.tensor([[list(place) for place, _ in clicks[:number]]]).float()
            labels = torch.tensor([[float(foreground) for _, foreground in clicks[:number]]])
            sparse, dense = module.prompt_encoder(points=[points, labels], boxes=None, masks=low)
            low, _ = module.mask_decoder(
                image_embeddings=embedding,
                image_pe=module.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        high = torch.nn.functional.interpolate(
            low, size=roi.shape[-3:], mode="trilinear", align_corners=False
        )
    mask = torch.sigmoid(high)[0, 0].numpy() > 0.5
    label = torchio.LabelMap(
        tensor=torch.from_numpy(mask[None].astype(np.float32)), affine=cut.image.affine
    )
    reference = torchio.ScalarImage(tensor=torch.zeros(1, *geometry[1]), affine=geometry[0])
    return roi, mask, low, torchio.Resample(target=reference)(label).data[0].numpy() > 0


def load_checkout(folder: str):
    """Upstream's own functions."""
    sys.path.insert(0, folder)
    from utils import infer_utils

    def run(canonical, geometry, crop, standardise, module, clicks):
        meta = {
            "original_subject_affine": geometry[0],
            "original_subject_spatial_shape": geometry[1],
        }
        roi, _, meta = infer_utils.get_roi_from_subject(canonical, meta, crop, standardise)
        next_clicks = iter(clicks)

        def next_click(*_):
            place, foreground = next(next_clicks)
            return torch.tensor([[list(place)]]), torch.tensor([[int(foreground)]])

        mask, low = infer_utils.sam_model_infer(
            module,
            roi,
            roi_gt=torch.ones_like(roi),
            prompt_generator=next_click,
            num_clicks=len(clicks),
        )
        return roi, mask > 0, low, infer_utils.data_postprocess(mask, meta).transpose(2, 1, 0) > 0

    return run


if __name__ == "__main__":
    main(*sys.argv[1:], *[None] * (3 - len(sys.argv)))
