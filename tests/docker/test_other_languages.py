"""A model needs only a Dockerfile: this model is a shell script without the SDK."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import order
from tests.tiny import make_dataset

#: the mask is 1 everywhere; its header is that of the image with another number type
SCRIPT = r"""#!/bin/sh
set -eu
for request in /input/requests/*.json; do
  id=$(basename "$request" .json)
  mkdir -p "/output/$id"
  image=$(grep -o '"path": *"[^"]*"' "$request" | head -1 | sed 's/.*"\(.*\)"$/\1/')
  gzip -dc "/input/$image" > /tmp/image.nii
  set -- $(od -An -t d2 -j 42 -N 6 /tmp/image.nii)
  grep -o '"name": *"[^"]*"' "$request" | sed 's/.*"\(.*\)"$/\1/' | while read -r target; do
    {
      head -c 70 /tmp/image.nii
      printf '\002\000\010\000'
      tail -c +75 /tmp/image.nii | head -c 278
      head -c $(($1 * $2 * $3)) /dev/zero | tr '\000' '\001'
    } | gzip > "/output/$id/$target.nii.gz"
  done
done
"""

DOCKERFILE = """FROM umd/base
COPY models/everything/answer.sh /opt/answer.sh
ENTRYPOINT ["sh", "/opt/answer.sh"]
LABEL umd.contract="1" umd.name="everything" umd.inputs="CT | MR | PT" umd.prompts="point"
"""


@pytest.mark.docker
def test_a_shell_script_is_a_model(project, tmp_path, docker_engine):
    folder = project({})
    (folder / "models/everything").mkdir()
    (folder / "models/everything/answer.sh").write_text(SCRIPT)
    (folder / "dockerfiles/everything.Dockerfile").write_text(DOCKERFILE)
    run = order(
        "everything",
        make_dataset(tmp_path / "data", ["a", "b"], ("CT", "MR", "PT"), ("liver", "spleen")),
    )
    count = 0
    for record in run.records():
        for prediction in record.rounds[0].targets.values():
            assert prediction.status == "ok", prediction
            mask, _ = run.masks.read(prediction.mask.file)
            assert np.all(mask == 1)
            count += 1
    assert count == 12
    assert 0 < float(run.path.joinpath("scores.csv").read_text().splitlines()[1].split(",")[-2]) < 1
