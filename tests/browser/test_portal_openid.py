"""Signing in by OpenID Connect in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.challenges.opening import init_challenge
from evaluator.portal.openid_state import CALLBACK
from evaluator.portal.server import listen, server
from tests.browser.conftest import console_messages, violations
from tests.browser.test_portal import visit, wait_for
from tests.portal.openid_provider import OpenIdProvider
from tests.portal.test_openid import add_sign_in

pytestmark = pytest.mark.browser


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider()
    provider.asks = True
    yield provider
    provider.close()


@pytest.fixture
def url(tmp_path: Path, provider: OpenIdProvider) -> Iterator[str]:
    """The address of a portal whose people sign in at the provider."""
    challenge = add_sign_in(init_challenge(tmp_path / "challenge").path, provider.issuer)
    with pytest.MonkeyPatch.context() as patch, listen("127.0.0.1", 0) as socket:
        patch.setattr("tempfile.tempdir", None)
        address = f"http://127.0.0.1:{socket.getsockname()[1]}"
        provider.redirect_uris = [address + CALLBACK]
        served = server(challenge, address=address)
        thread = threading.Thread(target=served.run, args=([socket],))
        thread.start()
        yield address
        served.should_exit = True
        thread.join()
    challenge.close()


def test_a_person_signs_in_and_out(browser, url, provider, axe):
    browser.delete_all_cookies()
    visit(browser, f"{url}/sign-in")
    assert violations(browser, axe) == []
    browser.find_element("link text", "Sign in with University").click()
    wait_for(lambda: browser.title == "Provider")
    browser.find_element("id", "yes").click()
    wait_for(lambda: browser.current_url == f"{url}/submissions")
    assert "blue" in browser.find_element("css selector", ".side form").text
    browser.find_element("css selector", ".side form button").click()
    wait_for(lambda: browser.current_url == f"{url}/signed-out")
    assert violations(browser, axe) == []
    assert console_messages(browser) == []
    browser.find_element("link text", "Sign out of University, too").click()
    wait_for(lambda: browser.title == "signed out")
    visit(browser, f"{url}/submissions")
    assert browser.current_url == f"{url}/sign-in"
