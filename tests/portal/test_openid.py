"""Signing in by OpenID Connect, at a provider that this test runs; and attacks on it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.testclient import TestClient

from evaluator.challenges.opening import OpenChallenge, open_challenge
from evaluator.errors import ManifestError, UserError
from evaluator.portal import openid
from evaluator.portal.app import portal
from evaluator.portal.openid_pages import UnlistedError, account_of_claims
from evaluator.portal.openid_state import CALLBACK, SECRET_FILE
from tests.portal.conftest import URL, write_definition
from tests.portal.openid_provider import CLIENT, SECRET, OpenIdProvider

OTHER_KEY = RSAKey.generate_key(2048, {"kid": "other"})


@pytest.fixture(scope="module")
def server() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider()
    provider.redirect_uris = [URL + CALLBACK]
    yield provider
    provider.close()


@pytest.fixture
def provider(server: OpenIdProvider) -> OpenIdProvider:
    """The provider, as it was at first."""
    server.user = {"sub": "1", "email": "Bob@example.org", "email_verified": True}
    server.tamper = lambda *_: None
    server.description, server.user_info_only = {}, False
    server.requests.clear()
    return server


def add_sign_in(folder: Path, issuer: str) -> OpenChallenge:
    """Name a provider in challenge.toml, and open the challenge again."""
    table = f"""
[sign_in]
issuer = "{issuer}"
client_id = "{CLIENT}"
title = "University"

[sign_in.teams]
blue = ["bob@example.org", "kim@example.org"]
red = ["dora@example.org"]
[sign_in.organisers]
alice = ["alice@example.org"]

[limits]"""
    write_definition(folder, sign_in=("\n[limits]", table))
    secret = folder / "private" / SECRET_FILE
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    return open_challenge(folder)


class Browser:
    """Somebody's browser at the portal."""

    def __init__(self, app) -> None:
        self.client = TestClient(app, base_url=URL, follow_redirects=False)

    def at_provider(self) -> str:
        """The address that the portal leads to."""
        answer = self.client.get("/sign-in/provider?next=https://evil.example")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def back(self, address: str) -> str:
        """The address that the provider leads back to, without its host."""
        location = httpx2.get(address).headers["location"]
        assert location.startswith(URL + CALLBACK)
        return location.removeprefix(URL)

    def sign_in(self):
        return self.client.get(self.back(self.at_provider()))

    def is_signed_in(self) -> bool:
        return self.client.get("/submissions").status_code in (200, 403)


@pytest.fixture
def app(challenge: OpenChallenge, provider: OpenIdProvider):
    opened = add_sign_in(challenge.folder.path, provider.issuer)
    yield portal(opened, url=URL)
    opened.close()


@pytest.fixture
def browser(app) -> Browser:
    return Browser(app)


def test_a_person_signs_in_as_the_team_that_lists_the_address(browser, provider, challenge):
    address = browser.at_provider()
    query = dict(parse_qsl(urlsplit(address).query))
    assert query["redirect_uri"] == URL + CALLBACK
    assert query["code_challenge_method"] == "S256"
    assert len(query["state"]) > 40 and len(query["nonce"]) > 40
    answer = browser.client.get(browser.back(address))
    assert (answer.status_code, answer.headers["location"]) == (303, "/submissions")
    cookie = answer.headers["set-cookie"]
    for word in ("__Host-umd_session=", "Secure", "HttpOnly", "SameSite=lax"):
        assert word in cookie
    page = browser.client.get("/submissions").text
    assert "<p>blue</p>" in page
    assert browser.client.get("/organiser").status_code == 403
    event = [event for event in challenge.folder.log.events() if event.event == "signed in"][-1]
    assert event.actor == "blue"
    assert event.facts["provider"] == "University"
    assert "example.org" not in challenge.folder.log_path.read_text().partition("signed in")[2]


def test_an_organiser_signs_in_and_out(browser, provider):
    provider.user = {"sub": "2", "email": "alice@example.org", "email_verified": True}
    assert browser.sign_in().headers["location"] == "/organiser"
    assert browser.client.get("/organiser").status_code == 200
    csrf = browser.client.get("/organiser").text.partition('name="csrf" value="')[2]
    answer = browser.client.post("/sign-out", data={"csrf": csrf.partition('"')[0]})
    assert answer.headers["location"] == "/signed-out"
    assert not browser.is_signed_in()
    page = browser.client.get("/signed-out").text
    assert f'href="{provider.issuer}/end?client_id={CLIENT}"' in page


def test_claims_may_come_from_the_providers_other_address(browser, provider):
    provider.user_info_only = True
    assert browser.sign_in().headers["location"] == "/submissions"
    assert "/userinfo" in provider.requests


def test_the_provider_may_change_its_key(browser, provider, monkeypatch):
    monkeypatch.setattr(openid, "KEYS_SECONDS", -1.0)
    assert browser.sign_in().status_code == 303
    provider.rotate()
    assert browser.sign_in().status_code == 303
    assert provider.requests.count("/keys") == 2
    assert provider.requests.count("/.well-known/openid-configuration") == 1


def unsigned(header, claims) -> str:
    parts = ({**header, "alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(part.rstrip("=") for part in encoded), ""])


def shared_secret(key: str):
    def sign(header, claims) -> str:
        return jwt.encode(
            {**header, "alg": "HS256"}, claims, OctKey.import_key(key), algorithms=["HS256"]
        )

    return sign


def changed(**claims):
    def change(_, present) -> None:
        for name, value in claims.items():
            present[name] = present.get(name, 0) + value if isinstance(value, int) else value

    return change


TAMPERED = {
    "nonce of another sign-in": changed(nonce="other"),
    "no nonce": lambda _, claims: claims.pop("nonce") and None,
    "audience of another client": changed(aud="other"),
    "two audiences, issued to the other": changed(aud=["other", CLIENT], azp="other"),
    "two audiences, nobody named": changed(aud=["other", CLIENT]),
    "expired": changed(exp=-300 - 121),
    "issued in the future": changed(iat=121 + 60),
    "not valid yet": lambda _, claims: claims.update(nbf=claims["iat"] + 300),
    "no expiry": lambda _, claims: claims.pop("exp") and None,
    "no subject": lambda _, claims: claims.pop("sub") and None,
    "subject is a list": changed(sub=["1"]),
    "issuer is another": changed(iss="https://evil.example"),
    "issuer with a slash": lambda _, claims: claims.update(iss=claims["iss"] + "/"),
    "no signature": unsigned,
    "signed with the client's secret": shared_secret(SECRET),
    "signed with an empty secret": shared_secret("0" * 32),
    "signed by somebody else": lambda header, claims: jwt.encode(
        {**header, "kid": "other"}, claims, OTHER_KEY
    ),
    "signed by somebody else as the provider": lambda header, claims: jwt.encode(
        header, claims, OTHER_KEY
    ),
    "key in the header": lambda header, claims: jwt.encode(
        {"alg": "RS256", "jwk": OTHER_KEY.as_dict(private=False)}, claims, OTHER_KEY
    ),
    "access token of another": changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "no token": lambda *_: "x",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_token_that_proves_nothing_is_refused(browser, provider, name):
    provider.tamper = TAMPERED[name]
    answer = browser.sign_in()
    assert answer.status_code == 401, answer.headers
    assert "University is not valid, so nobody is signed in" in answer.text
    assert "__Host-umd_session=" not in answer.headers.get("set-cookie", "")
    assert not browser.is_signed_in()
    provider.tamper = lambda *_: None  # the next one is as good as before
    assert browser.sign_in().status_code == 303


def test_clocks_may_differ_by_a_minute(browser, provider):
    for shift in (-60, 60):
        provider.tamper = changed(exp=shift - 300, iat=shift)
        assert browser.sign_in().status_code == 303


def with_query(path: str, **fields: str) -> str:
    url = urlsplit(path)
    query = {key: values[0] for key, values in parse_qs(url.query).items()} | fields
    return f"{url.path}?{urlencode(query)}"


def test_an_answer_is_for_the_browser_that_began_and_once(app, browser, provider):
    victim, path = Browser(app), browser.back(browser.at_provider())
    for _ in range(2):  # a link of somebody else, without and with a sign-in of one's own
        answer = victim.client.get(path)
        assert answer.status_code == 401
        assert "begun in another browser" in answer.text
        assert not victim.is_signed_in()
        victim.at_provider()
    assert browser.client.get(with_query(path, state="other")).status_code == 401
    assert browser.client.get(path).status_code == 401  # its attempt is used up
    path = browser.back(browser.at_provider())
    assert browser.client.get(path).status_code == 303
    again = Browser(app)
    again.client.cookies.update(dict(browser.client.cookies))
    assert again.client.get(path).status_code == 401
    # the code of another sign-in, replayed in a new one
    fresh = browser.back(browser.at_provider())
    code = parse_qs(urlsplit(path).query)["code"][0]
    assert browser.client.get(with_query(fresh, code=code)).status_code == 401


def test_a_code_that_was_stolen_is_of_no_use_without_the_verifier(app, browser, provider):
    stolen = parse_qs(urlsplit(browser.back(browser.at_provider())).query)["code"][0]
    thief = Browser(app)
    answer = thief.client.get(with_query(thief.back(thief.at_provider()), code=stolen))
    assert answer.status_code == 401
    assert not thief.is_signed_in()


def test_the_answer_of_another_provider_is_refused(browser, provider):
    path = browser.back(browser.at_provider())
    assert browser.client.get(with_query(path, iss="https://evil.example")).status_code == 401
    path = browser.back(browser.at_provider())
    assert browser.client.get(path.partition("&iss=")[0]).status_code == 401
    assert "/token" not in provider.requests


def test_errors_of_the_provider_are_sentences(browser):
    state = dict(parse_qsl(urlsplit(browser.at_provider()).query))["state"]
    text = "<script>alert(1)</script>"
    query = {"state": state, "error": "access_denied", "error_description": text}
    answer = browser.client.get(f"{CALLBACK}?{urlencode(query)}")
    assert answer.status_code == 401
    assert "University did not sign you in: access was denied. Begin again." in answer.text
    assert "alert(1)" not in answer.text


def test_a_provider_that_is_silent_or_another_one(challenge, provider, messages):
    provider.description = {"issuer": "https://evil.example"}
    opened = add_sign_in(challenge.folder.path, provider.issuer)
    client = TestClient(portal(opened, url=URL), base_url=URL, follow_redirects=False)
    answer = client.get("/sign-in/provider")
    assert answer.status_code == 503
    assert "University does not answer. Try later, or sign in with a token." in answer.text
    assert any("https://evil.example" in line for line in messages)
    provider.description = {"token_endpoint": "http://elsewhere.example/token"}
    assert client.get("/sign-in/provider").status_code == 503
    provider.description = {}
    assert client.get("/sign-in/provider").status_code == 303
    opened.close()


def test_nobody_leads_anywhere_else(browser, provider):
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    answer = browser.client.get("/sign-in/provider?redirect_uri=//evil", headers=headers)
    query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert query["redirect_uri"] == URL + CALLBACK
    path = with_query(browser.back(browser.at_provider()), next="//evil.example")
    assert browser.client.get(path).headers["location"] == "/submissions"


def test_without_a_provider_there_is_no_such_page(site):
    for path in ("/sign-in/provider", CALLBACK, "/signed-out"):
        assert site.nobody.get(path).status_code == 404


LISTED = {"email": "bob@example.org", "email_verified": True, "sub": "1"}


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"email": "eve@example.org"}, "eve@example.org belongs to no team"),
        ({"email": "bob@example.org.evil.example"}, "belongs to no team"),
        ({"email": "\N{KELVIN SIGN}im@example.org"}, "belongs to no team"),
        ({"email_verified": False}, "has not verified the address bob@example.org"),
        ({"email_verified": None}, "has not verified"),
        ({"email": ""}, "did not tell who you are: no email"),
        ({"email": {"bob@example.org": 1}}, "did not tell who you are"),
        ({"email": ["bob@example.org", "dora@example.org"]}, "You stand for blue and red"),
    ],
)
def test_a_person_whom_nobody_lists_stands_for_no_team(challenge, claims, sentence):
    opened = add_sign_in(challenge.folder.path, "https://login.example.org")
    with pytest.raises(UnlistedError, match=sentence):
        account_of_claims(opened.definition.sign_in, LISTED | claims)
    assert account_of_claims(opened.definition.sign_in, LISTED).name == "blue"
    opened.close()


def test_a_subject_is_compared_exactly(challenge):
    add_sign_in(challenge.folder.path, "https://login.example.org").close()
    change = ('title = "University"', 'claim = "sub"')
    write_definition(challenge.folder.path, change=change, person=("bob@example.org", "aBc"))
    opened = open_challenge(challenge.folder.path)
    definition = opened.definition.sign_in
    opened.close()
    assert account_of_claims(definition, {"sub": "aBc"}).name == "blue"
    for subject in ("abc", "ABC", "aBc "):
        with pytest.raises(UnlistedError, match="belongs to no team"):
            account_of_claims(definition, {"sub": subject})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("https://", "http://", "should begin with https"),
        ("login.example.org", "login.example.org?x", "no query"),
        ('title = "University"', 'scopes = ["email"]', "openid"),
        ("dora@", "BOB@", "stands for blue and for red"),
        ("red =", "Blue =", "differ in their case"),
        ("red =", "baseline =", "name of a team"),
        ("dora@example.org", "", "1 to 255"),
        ("client_id", "client_secret", "is not known"),
        ("\n[sign_in]", 'teams = ["blue"]\n[sign_in]', "red of .sign_in.teams. should be in teams"),
    ],
)
def test_a_definition_that_is_not_safe_is_refused(challenge, before, after, message):
    add_sign_in(challenge.folder.path, "https://login.example.org").close()
    write_definition(challenge.folder.path, change=(before, after))
    with pytest.raises(ManifestError, match=message):
        open_challenge(challenge.folder.path)


def test_a_secret_that_others_can_read_is_refused(challenge):
    opened = add_sign_in(challenge.folder.path, "https://login.example.org")
    (challenge.folder.path / "private" / SECRET_FILE).chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        portal(opened, url=URL)
    opened.close()
