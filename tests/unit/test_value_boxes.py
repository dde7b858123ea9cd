"""Boxes of values: plain numbers on logarithmic axes, few enough to be read."""

from __future__ import annotations

import pytest

from evaluator.report.figures.value_boxes import value_boxes


@pytest.mark.parametrize("values", [(29.0, 53.3, 590.0), (0.3, 20.0, 2400.0), (30.0, 40.0, 60.0)])
def test_a_logarithmic_axis_has_few_plain_numbers(values: tuple[float, ...]) -> None:
    """The page of a dataset once had labels of mathematical text on top of each other."""
    figure = value_boxes(
        {"liver": values}, "ml", name="v", title="Volumes", colour="black", logarithmic=True
    )
    (axes,) = figure.drawing.figure.axes
    low, high = axes.get_xlim()
    minor = [text.get_text() for text in axes.get_xticklabels(minor=True)]
    assert not any(minor)
    places = [place for place in axes.get_xticks() if low <= place <= high]
    assert 1 <= len(places) <= 7
    texts = [axes.xaxis.get_major_formatter()(place) for place in places]
    assert not any("$" in text for text in texts)
