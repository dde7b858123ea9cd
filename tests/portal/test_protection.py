"""Headers, forged requests, limits, and hostile input."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest
from starlette.testclient import TestClient

from evaluator.errors import UserError
from evaluator.portal import sessions
from evaluator.portal.accounts import create_token
from evaluator.portal.app import SIGN_INS_PER_MINUTE, WRONG_TOKENS_PER_MINUTE
from evaluator.portal.protection import RateLimit
from evaluator.portal.uploads import MOST_TEAM_PARTS, MOST_UPLOADS, begin_upload
from tests.portal.conftest import URL, Portal

WHO = ("blue", "red")
PAGES = ("/", "/sign-in", "/submissions", "/submit", "/organiser", "/organiser/log", "/nothing")


def test_every_answer_has_the_security_headers(site):
    for path in (*PAGES, "/static/portal.css", "/health"):
        for visitor in site.visitors.values():
            headers = visitor.get(path).headers
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["strict-transport-security"]
            assert "server" not in headers


def test_no_page_has_inline_script_or_style(site):
    for path in PAGES:
        for visitor in site.visitors.values():
            page = visitor.get(path).text
            assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page), path


def test_the_cookie_is_for_this_host_by_https_and_for_no_script(site):
    answer = site.nobody.client.post("/sign-in", data={"token": site.tokens["red"]})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-umd_session=")
    for word in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert word in cookie


def test_forms_without_the_sessions_value_are_refused(site):
    for path in (
        "/sign-out",
        "/submissions/x/withdraw",
        "/organiser/x/approve",
        "/submit/x/cancel",
    ):
        for value in (b"", b"csrf=", b"csrf=x", f"csrf={site.red.csrf}".encode(), b"csrf=%ff%00"):
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = site.alice.client.post(path, content=value, headers=headers)
            assert answer.status_code == 403, path
    assert site.alice.get("/organiser").status_code == 200
    fields = {"track": "box", "reference": "registry.example.org/blue/model:1"}
    assert site.blue.client.post("/submit", data=fields).status_code == 403
    # the page's own script sends a header, which another site's form cannot
    body = {"track": "box", "name": "a.tar", "size": 5}
    assert site.blue.client.post("/uploads", json=body).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://challenge.example.org"},
    ],
)
def test_requests_of_other_sites_are_refused(site, headers):
    answer = site.alice.client.post("/sign-out", data={"csrf": site.alice.csrf}, headers=headers)
    assert answer.status_code == 403
    answer = site.nobody.client.post(
        "/sign-in", data={"token": site.tokens["red"]}, headers=headers
    )
    assert answer.status_code == 403


def test_bodies_without_length_or_too_long_are_refused_unread(site):
    def endless():
        yield b"csrf=x"
        raise AssertionError("the body was read")

    client = site.alice.client
    assert client.post("/sign-out", content=endless()).status_code == 411
    headers = {"Content-Length": "99999999"}
    assert client.post("/sign-out", content=b"x", headers=headers).status_code == 413
    assert client.post("/submit", content=b"x", headers=headers).status_code == 413
    assert client.put("/uploads/x?offset=0", content=b"x", headers=headers).status_code == 413
    for bad in ("-1", "1e3", "٣", "9" * 400):
        raw = {"Content-Length": bad.encode()}
        assert client.post("/sign-out", content=b"x", headers=raw).status_code in (411, 413)


def test_the_token_bucket_refills():
    limit = RateLimit(60)
    assert [limit.allows("a", 0.0) for _ in range(61)] == [True] * 60 + [False]
    assert limit.allows("b", 0.0)
    assert not limit.allows("a", 0.5)
    assert limit.allows("a", 1.5)
    assert not limit.allows("a", 1.6)


@pytest.fixture
def no_refill(monkeypatch):
    """Limits are not refilled, however slow this machine is."""

    def count(limit, address, _):
        return limit._left.get(address, (limit.per_minute, 0.0))[0]

    monkeypatch.setattr(RateLimit, "_count", count)


def test_a_new_sign_in_ends_the_browsers_earlier_session(site):
    stolen = TestClient(site.app, base_url=URL, follow_redirects=False)
    stolen.cookies.update(dict(site.red.client.cookies))
    assert stolen.get("/submissions").status_code == 200
    assert site.red.client.post("/sign-in", data={"token": site.tokens["red"]}).status_code == 303
    assert stolen.get("/submissions").status_code == 303
    assert site.red.get("/submissions").status_code == 200


@pytest.mark.usefixtures("no_refill")
def test_guessing_tokens_is_slowed_down(site):
    answers = [
        site.nobody.client.post("/sign-in", data={"token": f"umd_{n}"}).status_code
        for n in range(int(WRONG_TOKENS_PER_MINUTE) + 2)
    ]
    # three visitors have signed in from the same address, which does not count
    assert answers == [401] * int(WRONG_TOKENS_PER_MINUTE) + [429] * 2
    # a token of a program is no form, and is as hard to guess
    bearer = {"Authorization": "Bearer umd_wrong"}
    assert site.nobody.client.get("/uploads/x", headers=bearer).status_code == 401


@pytest.mark.usefixtures("no_refill")
def test_a_token_that_signs_in_often_ends_no_sessions_of_others(site, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 8)
    monkeypatch.setattr(sessions, "MOST_TOKEN_SESSIONS", 5)
    count = int(SIGN_INS_PER_MINUTE)  # one of them was used by the visitor
    clients = [TestClient(site.app, base_url=URL, follow_redirects=False) for _ in range(count)]
    statuses = [
        client.post("/sign-in", data={"token": site.tokens["red"]}).status_code
        for client in clients
    ]
    assert statuses == [303] * (count - 1) + [429]
    assert clients[-2].get("/submissions").status_code == 200
    assert site.alice.get("/organiser").status_code == 200
    assert site.blue.get("/submissions").status_code == 200
    assert site.red.get("/submissions").status_code == 303  # its oldest session


def test_a_team_sends_few_parts_and_forms_at_the_same_time(site):
    """Slow requests of one team leave room for others."""

    def scope(method, path, query, team, length):
        headers = [
            (b"authorization", f"Bearer {site.tokens[team]}".encode()),
            (b"cookie", f"__Host-umd_session={cookies[team]}".encode()),
            (b"content-type", b"multipart/form-data; boundary=x"),
            (b"content-length", str(length).encode()),
        ]
        request = {"type": "http", "method": method, "path": path, "query_string": query}
        return request | {"headers": headers, "client": ("192.0.2.1", 1)}

    cookies = {team: site.visitors[team].client.cookies["__Host-umd_session"] for team in WHO}
    ids = {
        team: begin_upload(site.challenge, team=team, track="box", name="a", size=100).id
        for team in WHO
    }
    answers, reading = [], Counter()

    async def send_slowly(kind, team):
        async def receive():
            reading[kind, team] += 1
            await asyncio.Event().wait()

        async def send(message):
            if message["type"] == "http.response.start":
                answers.append((kind, team, message["status"]))

        if kind == "part":
            request = scope("PUT", f"/uploads/{ids[team]}", b"offset=0", team, 100)
        else:
            request = scope("POST", "/submit", b"", team, 100_000)
        await site.app(request, receive, send)

    async def attack():
        requests = [("part", "blue")] * 40 + [("form", "blue")] * 5
        requests += [("part", "red"), ("form", "red")]
        tasks = [asyncio.create_task(send_slowly(*request)) for request in requests]
        _, waiting = await asyncio.wait(tasks, timeout=1.0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(attack())
    assert reading == {
        ("part", "blue"): MOST_TEAM_PARTS,
        ("form", "blue"): MOST_UPLOADS,
        ("part", "red"): 1,
        ("form", "red"): 1,
    }
    assert answers == [("form", "blue", 429)] * 3
    assert not +site.app._app.state.forms


def test_too_many_requests_of_one_address_are_refused(challenge):
    from evaluator.portal.protection import Protection

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(Protection(app, origin=URL, per_minute=3, lengths={}), base_url=URL)
    assert [client.get("/").status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    "path",
    [
        "/submissions/..%2f..%2fprivate",
        "/submissions/%2e%2e",
        "/submissions/%00",
        "/submissions/a%0d%0aX-Evil:%201",
        "/submissions/" + "a" * 5000,
        "/submissions/%3Cscript%3Ealert(1)%3C/script%3E",
        "/submissions/%ff%fe",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/report/../../portal/app.py",
        "/static//etc/passwd",
        "/uploads/..%2f..%2fprivate%2faccounts",
        "/challenge.toml",
        "/private/accounts.json",
    ],
)
def test_paths_lead_nowhere(site, path):
    answer = site.alice.client.get(path)
    assert answer.status_code in (400, 403, 404), answer.text
    assert "<script>alert" not in answer.text
    assert "x-evil" not in answer.headers
    assert "import" not in answer.text


@pytest.mark.parametrize("path", ["*", "x"])
def test_a_target_that_is_no_path_is_answered(site, path):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    asyncio.run(site.app(scope | {"query_string": b"", "client": ("192.0.2.1", 1)}, receive, send))
    assert sent[0]["status"] == 404


def test_an_organisers_own_baseline_is_no_team(challenge):
    for name in ("baseline", "Baseline", "../x", "", "a b", "x" * 64, "é"):
        with pytest.raises(UserError):
            create_token(challenge, name, "team")


def test_faults_of_the_machine_are_not_shown(site, messages):
    (site.challenge.folder.path / "private" / "accounts.json").write_text("{broken")
    answer = site.nobody.client.post("/sign-in", data={"token": "umd_x"})
    assert answer.status_code == 503
    assert "accounts.json" not in answer.text
    assert any("accounts.json" in line for line in messages)
    for path in ("/", "/submissions", "/nothing"):  # who is signed in cannot be read either
        answer = site.blue.get(path)
        assert answer.status_code in (404, 503)
        assert "accounts.json" not in answer.text


def test_without_https_the_cookie_has_its_plain_name(challenge):
    site = Portal(challenge, url="")
    answer = site.nobody.client.post(
        "/sign-in", data={"token": site.tokens["red"]}, headers={"Origin": URL}
    )
    assert answer.headers["set-cookie"].startswith("umd_session=")
    assert "strict-transport-security" not in answer.headers
