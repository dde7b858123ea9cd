"""The address that ``umd serve`` is told."""

from __future__ import annotations

import click
import pytest

from evaluator.cli.serve import _origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("", ""),
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.Example:443", "https://a.example"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_address_is_written_as_browsers_do(url, origin):
    assert _origin(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "a.example",
        "ftp://a.example",
        "https://",
        "https://a.example/",
        "https://a.example/x",
        "https://a.example?x",
        "https://me@a.example",
        "https://a.example:x",
        "https://a.example:99999",
    ],
)
def test_an_address_that_is_no_origin_is_refused(url):
    with pytest.raises(click.UsageError, match="without a path"):
        _origin(url)
