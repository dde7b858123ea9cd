"""Region growing from points: SimpleITK's confidence-connected filter.

It iterates: a region is all connected voxels within the mean ± a multiple of the deviation.

The image is cropped about the points and smoothed by curvature flow; the region grows from every
foreground point, is cut by the background points, and its holes are closed.
"""

from typing import Any

import numpy as np
import SimpleITK

from zoo_sdk import Adapter as Base
from zoo_sdk import Crop, Prediction, Request, Target, Unsupported, each_target, read_image
from zoo_transforms.prompt_geometry import balls, corner_of, prompt_window

#: the organ is searched this far about the points, millimetres
RADIUS_MM = 120.0
#: the neighbourhood that a click stands for, millimetres
SEED_MM = 4.0
BACKGROUND_MM = 8.0
#: half the width of the accepted band in standard deviations of the region
MULTIPLIER = 2.0
ITERATIONS = 3
CLOSING_MM = 3.0


class Adapter(Base):
    """Needs no weights."""

    def predict(self, request: Request) -> Prediction:
        """Grow each target from its points."""
        image = read_image(request, next(iter(request.images)))

        def grow(target: Target) -> Any:
            points = [point.index for point in target.points if point.foreground]
            if not points:
                return Unsupported("needs a foreground point")
            window = prompt_window(request.grid, target, RADIUS_MM, 0.0)
            crop = SimpleITK.GetImageFromArray(
                np.ascontiguousarray(image.array[window].T, dtype=np.float32)
            )
            crop.SetSpacing(image.spacing)
            smooth = SimpleITK.CurvatureFlow(crop, timeStep=0.05, numberOfIterations=3)
            seeds = [np.subtract(point, corner_of(window)).tolist() for point in points]
            radius = max(1, round(SEED_MM / max(image.spacing)))
            region = SimpleITK.ConfidenceConnected(
                smooth,
                seeds,
                numberOfIterations=ITERATIONS,
                multiplier=MULTIPLIER,
                initialNeighborhoodRadius=radius,
                replaceValue=1,
            )
            closing = [max(0, round(CLOSING_MM / step)) for step in image.spacing]
            region = SimpleITK.BinaryFillhole(SimpleITK.BinaryMorphologicalClosing(region, closing))
            grown = SimpleITK.GetArrayFromImage(region).T > 0
            outside = [point.index for point in target.points if not point.foreground]
            if outside:
                grown &= ~balls(request.grid.affine, window, outside, BACKGROUND_MM)
            grown |= balls(request.grid.affine, window, points, min(image.spacing) / 2)
            return Crop(grown, corner_of(window))

        return Prediction(
            each_target(request, grow), notes={"multiplier": MULTIPLIER, "radius_mm": RADIUS_MM}
        )
