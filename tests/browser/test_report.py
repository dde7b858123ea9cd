"""The report in a real browser, opened from disk.

It makes no network request, logs no warning and meets the accessibility rules.
"""

from __future__ import annotations

import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluator import paths
from tests.browser.conftest import (
    NAMES,
    console_messages,
    open_page,
    requested_urls,
    violations,
)

pytestmark = pytest.mark.browser

PAGES = (
    "index.html",
    "modalities.html",
    "subjects.html",
    "ranking.html",
    "rounds.html",
    "robustness.html",
    "failures.html",
    "cases.html",
    "times.html",
    "methods.html",
    "provenance.html",
    "downloads.html",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_from_disk_without_network_requests(browser, report, page):
    open_page(browser, report / page)
    urls = requested_urls(browser)
    assert urls
    assert {urllib.parse.urlsplit(url).scheme for url in urls} == {"file"}
    assert console_messages(browser) == []
    assert browser.find_element("css selector", "nav a[aria-current=page]").is_displayed()
    # wide tables and figures scroll inside their frames, the page does not
    for width in (1280, 400):
        open_page(browser, report / page, width=width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "dark", [False, pytest.param(True, marks=pytest.mark.extended)], ids=["light", "dark"]
)
def test_pages_meet_the_accessibility_rules(browser, report, axe, dark):
    case_pages = sorted((report / "cases").glob("*.html"))[:1]
    for page in (*PAGES, *(str(path.relative_to(report)) for path in case_pages)):
        open_page(browser, report / page, dark=dark)
        assert violations(browser, axe) == [], page


def test_the_keyboard_sorts_a_table_by_a_column(browser, report):
    from selenium.webdriver.common.keys import Keys

    open_page(browser, report / "modalities.html")
    table = browser.find_element("css selector", "table.sortable:has(th:nth-child(7))")
    heading = table.find_elements("css selector", "thead tr:last-child th")[6]
    column = "return Array.from(arguments[0].tBodies[0].rows, row => row.cells[6].dataset.v)"
    button = heading.find_element("css selector", "button")
    for order, sign in (("ascending", 1), ("descending", -1)):
        button.send_keys(Keys.ENTER)
        assert heading.get_attribute("aria-sort") == order
        values = [float(value) for value in browser.execute_script(column, table) if value]
        assert values == sorted(values, reverse=sign < 0)


def test_colours_follow_the_system_and_the_switch(browser, report):
    ground = "return getComputedStyle(document.body).backgroundColor"
    open_page(browser, report / "index.html", dark=True)
    dark = browser.execute_script(ground)
    browser.find_element("css selector", "[data-theme-switch]").click()
    light = browser.execute_script(ground)
    assert dark != light
    open_page(browser, report / "index.html", dark=False)
    browser.execute_script("try { localStorage.clear() } catch {}")


def test_the_viewer_shows_image_reference_prediction_and_prompt(browser, viewer):
    wait_for_viewer(browser, viewer)
    assert {urllib.parse.urlsplit(url).scheme for url in requested_urls(browser)} == {"file"}
    assert console_messages(browser) == []
    everything = pixels(browser)
    shown = {}
    for part in ("reference", "prediction", "prompts"):
        tick(browser, part)
        shown[part] = pixels(browser)
        tick(browser, part)
        assert shown[part] != everything, part
    assert pixels(browser) == everything
    choose(browser, "image", "CT+PT")
    assert pixels(browser) != everything
    assert "dice" in browser.find_element("css selector", "[data-part=summary]").text


def test_the_viewer_steps_through_rounds_with_keys(browser, viewer):
    from selenium.webdriver.common.keys import Keys

    wait_for_viewer(browser, viewer)
    labels = browser.execute_script(
        "return Array.from(document.querySelector('[data-part=run]').options, item => item.text)"
    )
    number = next(n for n, label in enumerate(labels) if label.startswith("painter, box-clicks-5"))
    choose(browser, "run", str(number))
    canvas = browser.find_element("css selector", "[data-part=canvas]")
    select = browser.find_element("css selector", "[data-part=round]")
    before = pixels(browser)
    position = browser.find_element("css selector", "[data-part=readout]").text
    canvas.send_keys("]")
    settle(browser)
    assert select.get_attribute("value") != "0"
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.PAGE_UP)
    settle(browser)
    assert browser.find_element("css selector", "[data-part=readout]").text != position
    assert pixels(browser) != before
    assert console_messages(browser) == []


def test_every_link_has_a_target_and_every_csv_has_rows(report):
    import pandas as pd

    for page in report.rglob("*.html"):
        links = Links()
        links.feed(page.read_text(encoding="utf-8"))
        for link in links.targets:
            file, _, anchor = urllib.parse.unquote(link).partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.is_file() and target.is_relative_to(report), f"{page.name}: {link}"
            if anchor:
                assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), (
                    f"{page.name}: {link}"
                )
    for file in report.rglob("*.csv"):
        frame = pd.read_csv(file)
        assert len(frame), file.name
        if file.name not in ("metrics.csv", "tolerances.csv"):
            assert frame["note"].str.contains("SYNTHETIC DATA").all(), file.name
            assert frame["note"].str.contains("RANDOM WEIGHTS").all(), file.name


def test_synthetic_data_and_random_weights_are_marked_everywhere(report):
    for page in report.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "SYNTHETIC DATA: tiny" in text, page.name
        assert "RANDOM WEIGHTS, NOT A RESULT: cross" in text, page.name
    for suffix in ("tex", "md", "svg"):
        for file in report.rglob(f"*.{suffix}"):
            if file.stem not in ("metrics", "tolerances"):
                assert "SYNTHETIC DATA" in file.read_text(encoding="utf-8"), file.name


def test_no_subject_and_no_local_path_is_named(report, toy):
    """Neither text, nor file names, nor volumes contain a name."""
    hidden = [name.encode() for name in NAMES] + [
        str(path).encode() for path in (toy[0].parent, Path.home(), paths.cache())
    ]
    for file in report.rglob("*"):
        assert not any(name.decode() in file.name for name in hidden)
        if file.is_file() and file.name != "niivue.js":
            content = file.read_bytes()
            assert not [name for name in hidden if name in content], file.name


def test_html_in_names_is_text(report):
    for page in report.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<i>Cross</i>" not in text
    assert "&lt;i&gt;Cross&lt;/i&gt; &amp; &lt;script&gt;" in (
        report / "provenance.html"
    ).read_text(encoding="utf-8")
    assert "A &lt;b&gt;toy&lt;/b&gt;" in (report / "index.html").read_text(encoding="utf-8")


class Links(HTMLParser):
    """Targets of the links, scripts and pictures of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        for name, value in attrs:
            if name in ("href", "src") and not value.startswith("data:"):
                assert not urllib.parse.urlsplit(value).scheme, value
                self.targets.append(value)


def wait_for_viewer(browser, page) -> None:
    """Open a case's page and wait until its volumes are drawn."""
    open_page(browser, page)
    settle(browser)


def pixels(browser) -> str:
    """The canvas as a picture."""
    settle(browser)
    return str(browser.find_element("css selector", "[data-part=canvas]").screenshot_as_base64)


def settle(browser) -> None:
    """Wait until the viewer has drawn the chosen volumes."""
    from selenium.webdriver.support.ui import WebDriverWait

    root = browser.find_element("css selector", "[data-viewer]")
    WebDriverWait(browser, 40).until(
        lambda _: root.get_attribute("data-state") in ("ready", "failed")
    )
    assert root.get_attribute("data-state") == "ready", browser.find_element(
        "css selector", "[data-part=over]"
    ).text
    browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "requestAnimationFrame(() => requestAnimationFrame(done))"
    )


def tick(browser, part: str) -> None:
    """Toggle a check box, without a scroll: pictures differ after one."""
    box = browser.find_element("css selector", f"[data-part={part}]")
    browser.execute_script("arguments[0].click()", box)
    settle(browser)


def choose(browser, part: str, value: str) -> None:
    """Choose an option of a list."""
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("css selector", f"[data-part={part}]")).select_by_value(value)
    settle(browser)
