"""Who may see and do what: every route, for nobody, both teams and the organiser."""

from __future__ import annotations

import pytest

from evaluator.challenges.leaderboard import write_leaderboard
from evaluator.challenges.opening import open_challenge
from evaluator.challenges.queries import status_of
from evaluator.challenges.submitting import submit
from evaluator.portal.app import ROUTES
from evaluator.portal.publication import published_folder
from evaluator.portal.upload_files import upload_folder
from evaluator.portal.uploads import begin_upload
from tests.portal.conftest import Portal, enter_result, write_definition

REFERENCE = "registry.example.org/blue/model:1"

#: method and path -> status for nobody, the team blue, the team red and the organiser. The
#: submission and the upload are blue's. 303 for nobody leads to the page for signing in.
EXPECTED = {
    ("GET", "/"): (200, 200, 200, 200),
    ("GET", "/sign-in"): (200, 200, 200, 200),
    ("POST", "/sign-in"): (401, 401, 401, 401),
    # this challenge has no provider of OpenID Connect; test_openid.py has one
    ("GET", "/sign-in/provider"): (404, 404, 404, 404),
    ("GET", "/sign-in/provider/answer"): (404, 404, 404, 404),
    ("GET", "/signed-out"): (404, 404, 404, 404),
    ("POST", "/sign-out"): (403, 303, 303, 303),
    ("GET", "/submissions"): (303, 200, 200, 403),
    ("GET", "/submissions/{id}"): (303, 200, 404, 200),
    ("GET", "/submissions/{id}/result"): (303, 403, 403, 404),
    ("POST", "/submissions/{id}/withdraw"): (403, 303, 404, 403),
    ("GET", "/submit"): (303, 200, 200, 403),
    ("POST", "/submit"): (303, 400, 400, 403),
    ("POST", "/submit/{id}/cancel"): (403, 303, 400, 403),
    ("POST", "/uploads"): (401, 200, 200, 403),
    ("GET", "/uploads/{id}"): (401, 200, 400, 403),
    ("PUT", "/uploads/{id}"): (401, 200, 400, 403),
    ("DELETE", "/uploads/{id}"): (401, 204, 400, 403),
    ("POST", "/uploads/{id}/finish"): (401, 409, 400, 403),
    ("GET", "/organiser"): (303, 403, 403, 200),
    ("GET", "/organiser/log"): (303, 403, 403, 200),
    ("POST", "/organiser/leaderboard"): (403, 403, 403, 303),
    ("POST", "/organiser/{id}/{action}"): (403, 403, 403, 303),
}
WHO = ("nobody", "blue", "red", "alice")


def test_every_route_is_in_the_table():
    routes = {
        (method, route.path) for route in ROUTES for method in route.methods if method != "HEAD"
    }
    assert routes == set(EXPECTED)


@pytest.mark.parametrize("place", EXPECTED, ids=" ".join)
def test_access(site, place):
    challenge, (method, route) = site.challenge, place
    submission = submit(challenge, REFERENCE, team="blue", track="box")
    upload = begin_upload(challenge, team="blue", track="box", name="image.tar", size=100)
    identifier = upload.id if "/uploads" in route or "cancel" in route else submission
    path = route.format(id=identifier, action="disqualify")
    # blue last but one, because it may change something, and the organiser last
    for who in ("nobody", "red", "blue", "alice"):
        visitor = site.visitors[who]
        fields = {"csrf": visitor.csrf, "sure": "yes", "reason": "a reason", "track": "box"}
        headers = {"X-CSRF-Token": visitor.csrf}
        if method == "POST" and route == "/uploads":
            options = {"json": {"track": "box", "name": "image.tar", "size": 100}}
        elif method == "PUT":
            options = {"content": b"12345", "params": {"offset": "0"}}
        else:
            options = {"data": fields} if method == "POST" else {}
        answer = visitor.client.request(method, path, headers=headers, **options)
        assert answer.status_code == EXPECTED[place][WHO.index(who)], (who, answer.text)
        if who == "nobody" and answer.status_code == 303:
            assert answer.headers["location"] == "/sign-in"
        if who in ("nobody", "red"):
            assert submission not in answer.text.replace(path, "")
            assert status_of(challenge, submission).state == "queued"
            assert (upload_folder(challenge) / f"{upload.id}.tar").exists()


def test_a_team_never_sees_what_is_another_teams(site):
    submission = submit(site.challenge, REFERENCE, team="blue", track="box")
    for path in ("/", "/submissions", "/submit", f"/submissions/{submission}"):
        assert "blue" not in site.red.get(path).text.replace(submission, "")
    # the answer is that of a submission that does not exist
    missing = site.red.get("/submissions/20270131-00c0ffee")
    present = site.red.get(f"/submissions/{submission}")
    assert missing.status_code == present.status_code == 404
    assert missing.text == present.text.replace(submission, "20270131-00c0ffee")


def test_a_team_sees_no_worker_and_no_reason_of_the_machine(site):
    from evaluator.challenges import queue
    from evaluator.challenges.outcomes import fail

    submission = submit(site.challenge, REFERENCE, team="blue", track="box")
    claim = queue.claim_next(site.challenge.database, "node7.cluster-0")
    assert "node7" in site.alice.get(f"/submissions/{submission}").text
    assert "node7" not in site.blue.get(f"/submissions/{submission}").text
    folder = site.challenge.folder.submission(submission)
    detail = "could not write /data/hidden/Doe-Jane.nii.gz"
    fail(site.challenge, folder, claim, fault="host", detail=detail, step="all cases")
    for path in (f"/submissions/{submission}", "/submissions"):
        page = site.blue.get(path).text
        assert "Doe-Jane" not in page
        assert "fault of the host" in page
    for path in (f"/submissions/{submission}", "/organiser"):
        assert "Doe-Jane" in site.alice.get(path).text


@pytest.mark.parametrize(
    ("scores", "is_seen"),
    [
        ('scores = "visible"', True),
        ('scores = "hidden"', False),
        ('scores = "visible"\nembargo = 2100-01-01T00:00:00Z', False),
        ('scores = "hidden"\nembargo = 2026-01-01T00:00:00Z', True),
    ],
)
def test_scores_are_shown_as_the_phase_says(challenge, scores, is_seen):
    write_definition(challenge.folder.path, scores=('scores = "visible"', scores))
    site = Portal(open_challenge(challenge.folder.path))
    submission = submit(site.challenge, REFERENCE, team="blue", track="box")
    enter_result(site.challenge, submission)
    page = f"/submissions/{submission}"
    assert ("0.8125" in site.blue.get(page).text) == is_seen
    assert "0.8125" in site.alice.get(page).text
    assert site.red.get(page).status_code == 404
    file = site.alice.get(f"{page}/result")
    assert file.json()["totals"][0]["value"] == 0.8125
    assert "attachment" in file.headers["content-disposition"]
    assert site.blue.get(f"{page}/result").status_code == 403
    site.challenge.close()


def test_a_revoked_token_ends_its_sessions(site):
    from evaluator.portal.accounts import revoke_tokens

    assert site.blue.get("/submissions").status_code == 200
    revoke_tokens(site.challenge, "blue")
    assert site.blue.get("/submissions").status_code == 303
    assert site.blue.client.post("/sign-in", data={"token": site.tokens["blue"]}).status_code == 401
    assert site.red.get("/submissions").status_code == 200


def test_signing_out_ends_the_session_for_a_stolen_cookie_too(site):
    cookie = dict(site.blue.client.cookies)
    assert site.blue.post("/sign-out").status_code == 303
    site.nobody.client.cookies.update(cookie)
    assert site.nobody.get("/submissions").status_code == 303


def test_organisers_decide_and_the_log_names_them(site):
    submission = submit(site.challenge, REFERENCE, team="blue", track="box")
    path = f"/organiser/{submission}/disqualify"
    assert site.alice.post(path, reason="  ").status_code == 400
    assert status_of(site.challenge, submission).state == "queued"
    assert site.alice.post(path, reason="two accounts").status_code == 303
    assert status_of(site.challenge, submission).state == "disqualified"
    assert "two accounts" in site.blue.get(f"/submissions/{submission}").text
    assert (
        site.alice.post(f"/organiser/{submission}/reinstate", reason="mistake").status_code == 303
    )
    assert status_of(site.challenge, submission).state == "queued"
    assert site.alice.post(f"/organiser/{submission}/explode").status_code == 404
    assert site.alice.post("/organiser/20270131-00c0ffee/approve").status_code == 404
    page = site.alice.get("/organiser/log").text
    assert "by: alice" in page
    assert "signed in" in page
    events = {event.event: event for event in site.challenge.folder.log.events()}
    assert events["disqualified"].facts == {"reason": "two accounts", "by": "alice"}
    assert "intact" in page


def test_everybody_sees_the_leaderboard_that_an_organiser_published(challenge):
    submission = submit(challenge, REFERENCE, team="blue", track="box")
    enter_result(challenge, submission)
    site = Portal(challenge)
    assert site.nobody.get("/leaderboard/").status_code == 404
    assert "/leaderboard/" not in site.nobody.get("/").text
    site.red.post("/organiser/leaderboard")
    assert site.published == 0
    site.alice.post("/organiser/leaderboard")
    assert site.published == 1
    write_leaderboard(challenge, published_folder(challenge))
    assert 'href="/leaderboard/"' in site.nobody.get("/").text
    page = site.nobody.get("/leaderboard/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for path in ("/leaderboard/../challenge.toml", "/leaderboard/..%2fprivate/accounts.json"):
        assert site.nobody.get(path).status_code == 404


def test_a_changed_log_is_shown(site):
    log = site.challenge.folder.log_path
    log.write_text(log.read_text().replace('"red"', '"rad"', 1))
    assert "is broken" in site.alice.get("/organiser/log").text


def test_tokens_are_stored_as_hashes(site):
    path = site.challenge.folder.path / "private" / "accounts.json"
    assert path.stat().st_mode & 0o077 == 0
    everything = b"".join(
        p.read_bytes() for p in site.challenge.folder.path.rglob("*") if p.is_file()
    )
    for token in site.tokens.values():
        assert token.encode() not in everything
