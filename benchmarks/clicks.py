"""One round's clicks on a whole body: this project's, and a simple method on the full volume.

The simple method labels the error in the full volume (cc3d, 26-connected), takes the largest
component, and transforms the full volume (scipy's exact distance transform). cc3d is installed into
a separate environment; if that fails, scipy's labelling is used instead, and the page says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import median

from benchmarks.tables import table

#: the last version that was tried
CC3D = "connected-components-3d==4.1.1"
PLAIN = """
import json, sys, time
import numpy as np
from scipy import ndimage
try:
    import cc3d
    def label(error):
        return cc3d.connected_components(error, connectivity=26)
except ImportError:
    cc3d = None
    def label(error):
        return ndimage.label(error, structure=np.ones((3, 3, 3)))[0]

step, reference, prediction = json.loads(sys.argv[1]), np.load(sys.argv[2]), np.load(sys.argv[3])
clicks, seconds = {}, {"label": 0.0, "transform": 0.0}
for organ in range(1, 14):
    a, b = reference == organ, prediction == organ
    best, click = 0, None
    for error, foreground in ((a & ~b, True), (b & ~a, False)):
        begun = time.perf_counter()
        components = label(error)
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        component = components == np.argmax(sizes)
        seconds["label"] += time.perf_counter() - begun
        if sizes.max() <= best:
            continue
        best = sizes.max()
        begun = time.perf_counter()
        padded = ndimage.distance_transform_edt(np.pad(component, 1), sampling=step)
        depth = padded[1:-1, 1:-1, 1:-1]
        at = np.unravel_index(np.argmax(depth >= depth.max() - 1e-6), depth.shape)
        seconds["transform"] += time.perf_counter() - begun
        click = [[int(i) for i in at], foreground]
    clicks[organ] = click
print(json.dumps({"clicks": clicks, "seconds": seconds, "label": "cc3d" if cc3d else "scipy"}))
"""


def compare_clicks(dataset: Path, folder: Path) -> list[str]:
    """A table of both, on the first structural image.

    The prediction is the reference, moved by a few voxels.
    """
    import numpy as np

    from evaluator.datasets import load_dataset
    from evaluator.imaging.geometry import affine_of, spacing
    from evaluator.imaging.target_masks import crop_targets
    from evaluator.manifests.protocols import load_protocol
    from evaluator.prompting.corrections import correct
    from evaluator.prompting.random_stream import RandomStream
    from evaluator.volumes import read_labels

    scan = load_dataset(dataset).cases[0].scans["CT"]
    labels, grid = read_labels(scan.references[0].path)
    moved = np.roll(labels, (2, -3, 1), (0, 1, 2))
    targets = scan.references[0].labels
    plan = load_protocol("box-clicks-5").rounds

    references, predictions = (crop_targets(volume, grid, targets) for volume in (labels, moved))
    times, ours = [], {}
    for _ in range(6):
        begun = time.perf_counter()
        ours = {
            name: correct(plan, mask, predictions[name], RandomStream("bench"))
            for name, mask in references.items()
        }
        times.append(time.perf_counter() - begun)
    np.save(folder / "reference.npy", np.ascontiguousarray(labels))
    np.save(folder / "prediction.npy", np.ascontiguousarray(moved))
    plain = run_plain(folder, spacing(affine_of(grid)))
    numbers = {name: values[0] for name, values in targets.items()}
    same = all(
        plain["clicks"][str(numbers[name])] == [list(clicks[0][0]), clicks[0][1]]
        for name, clicks in ours.items()
    )
    cropped = 1000 * median(times[1:])
    label = 1000 * plain["seconds"]["label"]
    transform = 1000 * plain["seconds"]["transform"]
    size = " × ".join(map(str, grid.shape))
    title = f"The clicks of one round, 13 organs, {size}, each mask moved by 2, 3 and 1 voxels"
    return [
        f"{title}; the same clicks both ways: {'yes' if same else 'NO'}.",
        "",
        table(
            ("", "milliseconds a round"),
            [
                ("this project, one thread, median of 5", f"{cropped:.0f}"),
                (f"full volume, labels by {plain['label']}", f"{label:.0f}"),
                ("full volume, scipy's distance transform", f"{transform:.0f}"),
                ("times ours", f"{(label + transform) / cropped:.0f}"),
            ],
        ),
    ]


def run_plain(folder: Path, step: tuple[float, ...]) -> dict:
    """Run the simple method in a separate process, with cc3d if it can be installed."""
    python = environment(folder / "cc3d") or Path(sys.executable)
    arguments = [json.dumps(step), str(folder / "reference.npy"), str(folder / "prediction.npy")]
    done = subprocess.run(
        [python, "-c", PLAIN, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def environment(folder: Path) -> Path | None:
    """An environment with cc3d and scipy; None where pip cannot install cc3d."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        CC3D,
        "scipy",
        "numpy",
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            "cc3d could not be installed, scipy labels instead: "
            f"{done.stderr.strip().splitlines()[-1:]}"
        )
        return None
    return python


if __name__ == "__main__":
    print("\n".join(compare_clicks(Path(sys.argv[1]), Path(sys.argv[2]))))
