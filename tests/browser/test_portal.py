"""The portal of a challenge in a real browser, by its real server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.challenges.opening import OpenChallenge, init_challenge, open_challenge
from evaluator.challenges.queries import status_of
from evaluator.challenges.submitting import submit
from evaluator.portal import transfer
from evaluator.portal.accounts import create_token
from evaluator.portal.server import listen, server
from evaluator.portal.uploads import append_part, offset_of, unfinished
from tests.browser.conftest import console_messages, requested_urls, violations
from tests.image_archives import archive_bytes, file, image, tar_bytes
from tests.portal.conftest import enter_result, write_definition

pytestmark = pytest.mark.browser

#: of the small archive that the test uploads, bytes
PART = 2**16
NETWORK = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


class Site:
    """A portal that answers on a port, with tokens of a team and of an organiser."""

    def __init__(self, challenge: OpenChallenge, url: str) -> None:
        self.challenge, self.url = challenge, url
        self.tokens = {
            "blue": create_token(challenge, "blue", "team"),
            "alice": create_token(challenge, "alice", "organiser"),
        }
        self.scored, _ = (
            submit(challenge, f"registry.example.org/blue/model:{tag}", team="blue", track="box")
            for tag in (1, 2)
        )
        enter_result(challenge, self.scored)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server, in a thread."""
    folder = init_challenge(tmp_path_factory.mktemp("portal") / "challenge").path
    write_definition(folder, engine=('engine = "local"', 'engine = "docker"'))
    challenge = open_challenge(folder)
    with pytest.MonkeyPatch.context() as patch, listen("127.0.0.1", 0) as socket:
        patch.setattr("tempfile.tempdir", None)
        made = server(challenge)
        thread = threading.Thread(target=made.run, args=([socket],))
        thread.start()
        yield Site(challenge, f"http://127.0.0.1:{socket.getsockname()[1]}")
        made.should_exit = True
        thread.join()
    challenge.close()


def visit(browser, url: str, *, width: int = 1280, dark: bool = False) -> None:
    """Open a page with a screen of this width, and discard the browser's earlier messages."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(url)


def sign_in(browser, site: Site, name: str) -> None:
    browser.delete_all_cookies()
    visit(browser, f"{site.url}/sign-in")
    browser.find_element("id", "token").send_keys(site.tokens[name])
    browser.find_element("css selector", "main button").click()
    wait_for(lambda: browser.find_elements("css selector", ".side form"))


def wait_for(condition, seconds: float = 30.0):
    """Wait until a condition is true; fails after some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize("name", ["blue", "alice"])
def test_pages_meet_the_accessibility_rules(browser, site, axe, name):
    team = ("/", "/submissions", f"/submissions/{site.scored}", "/submit", "/nothing")
    organiser = ("/organiser", "/organiser/log", f"/submissions/{site.scored}")
    sign_in(browser, site, name)
    for page in team if name == "blue" else organiser:
        for width, dark in ((1280, False), (380, True)):
            visit(browser, site.url + page, width=width, dark=dark)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            assert {url.split("/")[2] for url in requested_urls(browser)} == {site.url[7:]}
            expected = 1 if page == "/nothing" else 0  # the browser notes the status 404
            assert len(console_messages(browser)) == expected
            assert violations(browser, axe) == [], (page, dark)


class Gate:
    """Lets parts of an upload through up to a limit, bytes; the others wait."""

    def __init__(self) -> None:
        self.limit, self._opened = 0, threading.Event()

    def __call__(self, challenge, upload, offset: int, part: bytes) -> int:
        if offset >= self.limit:
            self._opened.wait(60)
        return append_part(challenge, upload, offset, part)

    def open(self, limit: float) -> None:
        """Let the waiting part through, and those that follow up to a new limit."""
        before, self._opened = self._opened, threading.Event()
        self.limit = limit
        before.set()


def test_an_upload_that_is_broken_off_twice_ends_at_its_submission(
    browser, site, tmp_path, monkeypatch
):
    gate = Gate()
    monkeypatch.setattr(transfer, "append_part", gate)
    monkeypatch.setattr(transfer, "PART_BYTES", PART)
    path = tmp_path / "image.tar"
    path.write_bytes(archive_bytes(image([tar_bytes([file("weights", os.urandom(9 * PART))])])))
    sign_in(browser, site, "blue")

    def begin() -> None:
        visit(browser, f"{site.url}/submit")
        browser.find_element("id", "archive").send_keys(str(path))
        browser.find_element("css selector", "#upload button.button").click()

    def sent() -> int:
        (upload,) = unfinished(site.challenge, "blue") or [None]
        return offset_of(site.challenge, upload) if upload else 0

    def progress() -> str:
        return browser.find_element("id", "progress-text").text

    gate.limit = 2 * PART
    begin()
    wait_for(lambda: sent() == 2 * PART)
    visit(browser, f"{site.url}/submissions")  # the page is left
    gate.open(5 * PART)
    begin()
    wait_for(lambda: sent() == 5 * PART)
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True} | NETWORK)
    gate.open(float("inf"))
    wait_for(lambda: "Trying again" in progress())
    assert sent() < path.stat().st_size
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False} | NETWORK)
    wait_for(lambda: "/submissions/" in browser.current_url)
    submission = browser.current_url.rpartition("/")[2]
    assert site.challenge.folder.submission(submission).archive.read_bytes() == path.read_bytes()
    assert unfinished(site.challenge, "blue") == []
    # another process inspects it
    wait_for(lambda: status_of(site.challenge, submission).state == "queued", 60)


def test_the_form_and_the_sign_in_work_without_javascript(browser, site, tmp_path: Path):
    path = tmp_path / "small.tar"
    path.write_bytes(archive_bytes(image(body={"architecture": "amd64", "os": "linux"})))
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        sign_in(browser, site, "blue")
        visit(browser, f"{site.url}/submit")
        browser.find_element("id", "archive").send_keys(str(path))
        browser.find_element("css selector", "#upload button.button").click()
        wait_for(lambda: "/submissions/" in browser.current_url)
        submission = browser.current_url.rpartition("/")[2]
        record = site.challenge.folder.submission(submission).record()
        assert record.archive_bytes == path.stat().st_size
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
