"""A result belongs to the content of what ran: another image behind the same name is a new run."""

from __future__ import annotations

import pytest

from evaluator.errors import RunConflictError
from tests.conftest import order
from tests.tiny import PAINTER, add_model, make_dataset

EMPTY = PAINTER.replace("return mask", "return mask * 0")


@pytest.mark.docker
def test_an_image_that_was_built_again_gives_new_results(project, tmp_path, docker_engine):
    from evaluator.zoo import ensure_image, find_model
    from evaluator.zoo.docker_client import BuildClient

    folder = project({"painter": PAINTER})
    add_model(folder, "empty", EMPTY)
    add_model(folder, "team", PAINTER)
    file = folder / "dockerfiles" / "team.Dockerfile"
    file.write_text(
        "FROM umd-test/team:v3\n"
        + "\n".join(line for line in file.read_text().splitlines() if line.startswith("LABEL"))
    )
    data = make_dataset(tmp_path / "data", ["a"], ("CT",))
    client = BuildClient()
    try:
        client.add_tag(ensure_image(find_model("painter")).reference, "umd-test/team", "v3")
        first = order("team", data, "box")
        named = order("team", data, "box", name="named")
        assert order("team", data, "box").name == first.name
        client.add_tag(ensure_image(find_model("empty")).reference, "umd-test/team", "v3")
        second = order("team", data, "box")
        assert second.name != first.name
        (before,), (after,) = first.records(), second.records()
        assert before.rounds[0].targets["liver"].mask.voxels > 0
        assert after.rounds[0].targets["liver"].mask.voxels == 0
        assert before.key != after.key
        with pytest.raises(RunConflictError, match="image was"):
            order("team", data, "box", name=named.name)
    finally:
        docker_engine.client.images.remove("umd-test/team:v3", force=True)
