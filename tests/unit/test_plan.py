"""What a model can be asked, from its card and the protocol alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.evaluation.plan import Plan, refusal
from evaluator.manifests.protocols import load_protocol
from evaluator.types import Case, Dataset, Scan
from evaluator.zoo.cards import parse_card

SCAN = Scan(modality="CT", image=Path("i"), unit="HU", references=())
CASE = Case(subject="s", session="a", split="test", scans={"CT": SCAN})
DATASET = Dataset(
    name="d",
    title="d",
    license="l",
    citation="c",
    synthetic=True,
    reference_origin="o",
    cases=(CASE,),
    sha256="0",
)


def plan(protocol, prompts, **labels):
    labels = {
        "umd.contract": "1",
        "umd.name": "m",
        "umd.inputs": "CT",
        "umd.prompts": prompts,
    } | labels
    return Plan(
        card=parse_card(labels), digest="0", dataset=DATASET, protocol=load_protocol(protocol)
    )


@pytest.mark.parametrize(
    ("protocol", "prompts", "told"),
    [
        ("paper", "point", None),
        ("paper", "text", None),
        ("paper", "", None),
        ("paper", "box", "gives point or text or class; the model understands box"),
        ("text", "point", "gives text or class"),
        ("robust-text", "text", None),
        ("robust-text", "", "gives text; the model understands no prompts"),
        ("box-clicks-5", "box,point", None),
        ("box-clicks-5", "box", None),
        ("scribble-5", "point,scribble", None),
        ("scribble-5", "point", "corrects by scribbles; the model understands point"),
        ("cvpr25", "box", "corrects by clicks"),
    ],
)
def test_what_a_card_does_not_say_is_not_asked(protocol, prompts, told) -> None:
    why = refusal(plan(protocol, prompts), CASE, "CT")
    assert (why is None) if told is None else (why is not None and told in why.detail)


def test_other_modalities_and_units_are_not_asked() -> None:
    assert (
        "does not take CT"
        in refusal(plan("paper", "point", **{"umd.inputs": "PT"}), CASE, "CT").detail
    )
    assert (
        "wants CT in"
        in refusal(plan("paper", "point", **{"umd.units": "CT=a.u."}), CASE, "CT").detail
    )
    assert refusal(plan("paper", "point", **{"umd.units": "CT=HU"}), CASE, "CT") is None
