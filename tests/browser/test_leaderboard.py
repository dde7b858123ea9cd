"""The leaderboard of a challenge in a real browser, opened from disk."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import numpy as np
import pytest

from evaluator.challenges.leaderboard import write_leaderboard
from tests.browser.conftest import console_messages, open_page, requested_urls, violations
from tests.challenges.scored_submissions import Scored, add_scored, toy_challenge

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three teams, one of which failed; the scores were drawn by chance."""
    folder = tmp_path_factory.mktemp("leaderboard")
    challenge = toy_challenge(folder / "challenge")
    rng = np.random.default_rng(3)
    add_scored(
        challenge,
        [
            Scored("blue", rng.uniform(0.5, 0.9, (2, 2, 2, 6))),
            Scored("red", rng.uniform(0.4, 0.9, (2, 2, 2, 6))),
            Scored("green", rng.uniform(0.4, 0.9, (2, 2, 2, 6)), fault="team"),
        ],
    )
    index = write_leaderboard(challenge, folder / "site")
    return [index, index.parent / "test.box.html"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_load_nothing_fit_and_meet_the_accessibility_rules(browser, pages, axe, dark):
    for page in pages:
        for width in (1280, 380):
            open_page(browser, page, dark=dark, width=width)
            assert {urllib.parse.urlsplit(url).scheme for url in requested_urls(browser)} == {
                "file"
            }
            assert console_messages(browser) == []
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            assert violations(browser, axe) == [], (page.name, width)
