"""The pages of ``umd data verify --html`` and ``umd data card`` in a real browser."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import pytest

from evaluator.datasets import load_dataset
from evaluator.datasets.phantom import generate
from evaluator.datasets.verify import check_cases
from evaluator.report.dataset_card import write_card
from evaluator.report.verification import write_verification
from tests.browser.conftest import console_messages, open_page, requested_urls, violations
from tests.unit.test_phantom import manifest_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pages of two synthetic subjects, one of them with an empty reference."""
    folder = tmp_path_factory.mktemp("pages")
    generate(manifest_of(2, (40, 30, 60), seed=1), folder / "data")
    (folder / "data/phantom-002/PT_reference.nii.gz").write_bytes(b"nothing")
    dataset = load_dataset(folder / "data" / "made.toml")
    check = check_cases(dataset.cases, "full")
    return [
        *write_verification(dataset, check, folder / "check.html"),
        write_card(dataset, check, folder / "card.html"),
    ]


def test_a_page_loads_nothing_and_fits(browser, pages) -> None:
    for page in pages:
        open_page(browser, page)
        assert [urllib.parse.urlsplit(url).scheme for url in requested_urls(browser)] == ["file"]
        assert console_messages(browser) == []
        for width in (1280, 400):
            open_page(browser, page, width=width)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_meets_the_accessibility_rules(browser, pages, axe, dark) -> None:
    for page in pages:
        open_page(browser, page, dark=dark)
        assert violations(browser, axe) == [], page
