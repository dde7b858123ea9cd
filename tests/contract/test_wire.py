"""Both sides of the wire and the shipped schemas agree on what a request and a reply are."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from itertools import product

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.types import Status
from tests.conftest import order
from tests.tiny import make_dataset
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import (
    PREDICTION_STATUSES,
    Box,
    Grid,
    ImageFile,
    Point,
    Reply,
    Request,
    Target,
    TargetReply,
    WireError,
    dump_reply,
    dump_request,
    parse_reply,
    parse_request,
)

SCHEMAS = {
    name: json.loads(files("zoo_sdk").joinpath(f"schemas/{name}.json").read_text())
    for name in ("request", "reply")
}

EYE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
integer = st.integers(0, 500)
index = st.tuples(integer, integer, integer)
number = st.floats(-1e4, 1e4)
points = st.builds(
    Point, index, st.tuples(number, number, number), st.booleans(), st.integers(0, 9)
)
text = st.none() | st.text(min_size=1, max_size=8)
targets = st.builds(
    Target,
    st.text(min_size=1, max_size=9),
    text,
    st.lists(points, max_size=3).map(tuple),
    st.none() | st.builds(Box, index, index),
    text,
    text,
)
requests = st.builds(
    Request,
    st.text(min_size=1, max_size=8),
    st.text(max_size=8),
    integer,
    st.dictionaries(
        st.sampled_from(["CT", "MR", "PT"]),
        st.builds(ImageFile, st.just("a.nii.gz"), st.sampled_from(["HU", "SUVbw", "a.u."])),
        min_size=1,
    ),
    st.builds(Grid, index, st.just(EYE)),
    st.lists(targets, min_size=1, max_size=3).map(tuple),
    options=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
replies = st.builds(
    Reply,
    st.text(max_size=8),
    st.dictionaries(
        st.text(max_size=5),
        st.builds(TargetReply, st.sampled_from(["ok", "unsupported", "error"]), text, text),
    ),
    st.dictionaries(st.text(max_size=5), number),
    st.none() | integer,
    st.dictionaries(st.text(max_size=5), integer),
)


@given(requests)
def test_requests_there_and_back(request):
    body = json.loads(json.dumps(dump_request(request)))
    jsonschema.validate(body, SCHEMAS["request"])
    assert parse_request(body) == request


@given(replies)
def test_replies_there_and_back(reply):
    body = json.loads(json.dumps(dump_reply(reply)))
    jsonschema.validate(body, SCHEMAS["reply"])
    assert parse_reply(body) == reply


GOOD = dump_request(
    Request(
        "r1",
        "c",
        0,
        {"CT": ImageFile("i", "HU")},
        Grid((3, 4, 5), EYE),
        (Target("liver", points=(Point((1, 2, 3), (0.0, 0.0, 0.0)),)),),
    )
)
BROKEN = {
    "contract": lambda b: b.update(contract=2),
    "images": lambda b: b.update(images={}),
    "unit": lambda b: b["images"]["CT"].pop("unit"),
    "shape": lambda b: b["grid"].update(shape=[1, 2]),
    "affine": lambda b: b["grid"].update(affine=[[1, 2, 3, 4]]),
    "targets": lambda b: b.update(targets=[]),
    "index": lambda b: b["targets"][0]["points"][0].update(index=[0.5, 1, 2]),
    "ras_mm": lambda b: b["targets"][0]["points"][0].update(ras_mm="here"),
    "foreground": lambda b: b["targets"][0]["points"][0].update(foreground=1),
    "box": lambda b: b["targets"][0].update(box={"low": [0, 0, 0]}),
    "options": lambda b: b.update(options={"large": 1}),
    "options list": lambda b: b.update(options=["large"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_one_refuses_the_other_refuses(name):
    body = json.loads(json.dumps(GOOD))
    jsonschema.validate(body, SCHEMAS["request"])
    BROKEN[name](body)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, SCHEMAS["request"])
    with pytest.raises(WireError):
        parse_request(copy.deepcopy(body))


def test_json_is_plain():
    huge = [
        f'{{"gpu_peak_bytes": {sign}{digits}}}'
        for sign, digits in product(("", "-"), (2**63, "1" * 400, "1" * 9999))
    ]
    deep = ["[" * levels + "]" * levels for levels in (33, 100_000)]
    for line in (
        '{"seconds": {"a": NaN}}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": [-1e400]}',
        "{",
        "",
        *deep,
        *huge,
    ):
        with pytest.raises(WireError):
            loads(line)
    assert loads(f'{{"a": [{2**63 - 1}, {1 - 2**63}, 0.5]}}') == {"a": [2**63 - 1, 1 - 2**63, 0.5]}


def test_statuses_have_one_definition():
    assert tuple(Status) == PREDICTION_STATUSES


ECHO = """
import json
import numpy as np
from zoo_sdk import Prediction, input_folder

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        body = json.loads((input_folder() / "requests" / (request.id + ".json")).read_text())
        masks = {t.name: np.zeros(request.grid.shape, np.uint8) for t in request.targets}
        return Prediction(masks, notes={"request": body})
"""


@pytest.mark.parametrize("protocol", ["paper", "box-clicks-5", "scribble-5", "text"])
def test_requests_and_replies_of_a_run_follow_the_schemas(project, tmp_path, protocol):
    """The requests in the container's folder, of every round, and the replies."""
    project({"echo": ECHO}, prompts="point,box,scribble,mask" if protocol != "text" else "text")
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"), ("liver", "spleen"))
    seen = 0
    for record in order("echo", data, protocol, engine="local").records():
        for entry in record.rounds:
            jsonschema.validate(dump_reply(entry.reply), SCHEMAS["reply"])
            request_body = entry.reply.notes["request"]
            jsonschema.validate(request_body, SCHEMAS["request"])
            assert json.loads(json.dumps(dump_request(parse_request(request_body)))) == request_body
            assert request_body["id"] == entry.request
            assert "a.a" not in json.dumps(request_body)
            seen += 1
    assert seen == 2 * {"paper": 1, "text": 1}.get(protocol, 6)
