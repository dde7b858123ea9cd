"""Adding a model is writing one Dockerfile: here a shell script that answers the files, without the SDK."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.volumes import read_labels
from tests.conftest import order
from tests.tiny import make_dataset

#: everything is the organ: the image's own header with another number type, and ones
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
    seen = 0
    for record in run.records():
        for made in record.rounds[0].targets.values():
            assert made.status == "ok", made
            mask, _ = read_labels(run.path / made.mask.file)
            assert np.all(mask == 1)
            seen += 1
    assert seen == 12
    assert 0 < float(run.path.joinpath("scores.csv").read_text().splitlines()[1].split(",")[-2]) < 1
