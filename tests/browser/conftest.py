"""A toy report, and a real browser that opens it from disk: Debian's chromium and chromedriver."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import tarfile
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from evaluator import paths
from evaluator.report import Options, build_report
from evaluator.report.viewer.niivue import niivue_script
from evaluator.report.viewer.npm import Package, PackageUnavailableError, fetch
from tests.conftest import order, skip_outside_ci
from tests.tiny import PAINTER, make_dataset, make_project

#: the accessibility checker, which only the tests use
AXE = Package(
    name="axe-core",
    version="4.14.1",
    sha256="e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
)
#: paints a box of voxels around each point: an imperfect prediction that is visible in the report
CROSS = """
import numpy as np
from zoo_sdk import each_target

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        def paint(target):
            mask = np.zeros(request.grid.shape, np.uint8)
            for point in target.points:
                i, j, k = point.index
                mask[max(i - 2, 0):i + 3, max(j - 1, 0):j + 2, max(k - 1, 0):k + 2] = 1
            return mask
        return each_target(request, paint)
"""
SUBJECTS = [f"Doe-Jane-{number}" for number in range(5)]
#: names that no page may contain
NAMES = [*SUBJECTS, "Doe", "Jane"]


@pytest.fixture(scope="package")
def toy(tmp_path_factory: pytest.TempPathFactory):
    """Four runs: two models, one of them of random weights, on paired images under two protocols.

    Only the tests of this package use the project, hence the scope.
    """
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMD_CACHE", str(paths.cache()))
        patch.setenv("UMD_RUNS", str(folder / "runs"))
        project = make_project(folder / "project", {"painter": PAINTER})
        from tests.tiny import add_model

        add_model(
            project,
            "cross",
            CROSS,
            weights="random:small",
            title="<i>Cross</i> & <script>alert(1)</script>",
        )
        patch.setenv("UMD_PROJECT", str(project))
        data = make_dataset(
            folder / "data",
            SUBJECTS,
            modalities=("CT", "MR", "PT"),
            targets=("liver", "odd.Name_1"),
        )
        runs = [
            order(model, data, protocol, engine="local")
            for protocol, model in itertools.product(
                ("box-clicks-5", "robust-box"), ("painter", "cross")
            )
        ]
        yield [run.path for run in runs]


@pytest.fixture(scope="package")
def report(toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the toy runs."""
    folder = tmp_path_factory.mktemp("report") / "site"
    build_report(toy, folder, Options(title="A <b>toy</b> & its report", cases=1))
    return folder


@pytest.fixture(scope="package")
def viewer(report: Path) -> Path:
    """A page with the viewer. CI fails where the viewer's package is unavailable."""
    if niivue_script(None) is None:
        skip_outside_ci("the viewer's package is unavailable from npm and from the network")
    return min((report / "cases").glob("*.html"))


@pytest.fixture(scope="session")
def browser():
    """Chromium with software GL and without background requests.

    A missing browser fails in CI and skips elsewhere.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        skip_outside_ci("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            "--headless",
            "--no-sandbox",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--use-gl=angle",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        chrome = webdriver.Chrome(options=options, service=Service(driver))
        chrome.set_page_load_timeout(60)
        yield chrome
        chrome.quit()


def open_page(browser, page: Path, *, dark: bool = False, width: int = 1280) -> None:
    """Open a page from disk as a reader does, and discard the browser's earlier log entries."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())


def requested_urls(browser) -> list[str]:
    """Addresses that the page has requested since it was opened, without embedded data."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    return [
        url for url in urls if urllib.parse.urlsplit(url).scheme not in ("data", "blob", "chrome")
    ]


def console_messages(browser) -> list[str]:
    """Warnings and errors in the browser's console."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    try:
        content = fetch(AXE)
    except PackageUnavailableError as error:
        skip_outside_ci(f"{AXE.spec} is unavailable: {error}")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        return package.extractfile("package/axe.min.js").read().decode()


def violations(browser, axe: str) -> list[tuple[str, str, str | None]]:
    """The accessibility rules that the open page breaks."""
    browser.execute_script(
        "for (const item of document.querySelectorAll('details')) item.open = true"
    )
    browser.execute_script(axe)
    result = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];"
        "axe.run(document, {runOnly: tags}).then(done)"
    )
    return [
        (
            violation["id"],
            violation["nodes"][0]["html"][:200],
            violation["nodes"][0].get("failureSummary"),
        )
        for violation in result["violations"]
    ]
