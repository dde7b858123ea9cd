"""Archives in parts: broken off, continued, changed on the way, sent twice, too large."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evaluator.challenges import submitting
from evaluator.challenges.incoming import remove_leftovers
from evaluator.challenges.queries import status_of, statuses
from evaluator.challenges.quotas import submissions_left
from evaluator.challenges.submitting import submit
from evaluator.errors import HostError, UserError
from evaluator.portal import upload_files, uploads
from evaluator.portal.upload_files import upload_folder
from evaluator.portal.uploads import (
    OffsetError,
    append_part,
    begin_upload,
    find_upload,
    finish_upload,
    offset_of,
)
from tests.image_archives import archive_bytes, image

PROJECT = Path(__file__).parents[2]
REFERENCE = "registry.example.org/blue/model:1"


def wish(content: bytes, **changes: object) -> dict[str, object]:
    return {"track": "box", "name": "image.tar", "size": len(content)} | changes


def digest(part: bytes) -> dict[str, str]:
    return {
        "Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(part).digest()).decode()}:"
    }


def program(site, team: str = "blue") -> dict[str, str]:
    return {"Authorization": f"Bearer {site.tokens[team]}"}


def test_an_upload_that_is_broken_off_twice_is_continued(site):
    content, client = archive_bytes(image()), site.blue.client
    headers = {"X-CSRF-Token": site.blue.csrf}
    offsets = []
    step = len(content) // 3 + 1
    for _ in range(3):  # each time by what a new page knows
        begun = client.post("/uploads", json=wish(content), headers=headers).json()
        offsets.append(begun["offset"])
        part = content[begun["offset"] : begun["offset"] + step]
        answer = client.put(
            f"/uploads/{begun['id']}",
            params={"offset": begun["offset"]},
            content=part,
            headers=headers | digest(part),
        )
        assert answer.json() == {"offset": begun["offset"] + len(part)}
    assert offsets == [0, step, 2 * step]
    answer = client.post(f"/uploads/{begun['id']}/finish", headers=headers)
    end = answer.json()
    assert end["sha256"] == hashlib.sha256(content).hexdigest()
    folder = site.challenge.folder.submission(end["submission"])
    assert folder.archive.read_bytes() == content
    assert folder.record().source == "image.tar"
    assert folder.check().accepted, folder.check().problems
    assert status_of(site.challenge, end["submission"]).state == "queued"
    assert list(upload_folder(site.challenge).glob("*.tar")) == []
    assert end["submission"] in site.blue.get("/submissions").text


def test_a_part_is_stored_whole_and_once(site):
    client, headers = site.nobody.client, program(site)
    content = bytes(range(256)) * 8
    begun = client.post("/uploads", json=wish(content), headers=headers).json()
    path = f"/uploads/{begun['id']}"

    def put(offset, part, **more):
        return client.put(path, params={"offset": offset}, content=part, headers=headers | more)

    changed = put(0, content[:100], **digest(content[1:101]))
    assert changed.status_code == 422
    assert put(0, content[:100], **{"Content-Digest": "md5=:x:"}).status_code == 400
    assert client.get(path, headers=headers).json()["offset"] == 0
    assert put(0, content[:100]).json() == {"offset": 100}
    for offset in (0, 50, 101, 2000):  # again, overlapping, with a gap
        answer = put(offset, b"x" * 10)
        assert answer.status_code == 409
        assert answer.json()["offset"] == 100
    for offset in ("", "-1", "1.0", "٣", "9" * 30):
        assert put(offset, b"x").status_code == 400
    assert put(100, b"x" * len(content)).status_code == 400  # more than announced
    assert client.post(f"{path}/finish", headers=headers).status_code == 409
    assert put(100, content[100:]).json() == {"offset": len(content)}
    stored = upload_folder(site.challenge) / f"{begun['id']}.tar"
    assert stored.read_bytes() == content
    assert client.delete(path, headers=headers).status_code == 204
    assert not stored.exists()
    assert put(0, b"x").status_code == 400


def test_a_connection_that_ends_inside_a_part_stores_nothing_and_is_no_error(site):
    upload = begin_upload(site.challenge, team="blue", track="box", name="a", size=100)
    messages = [{"type": "http.request", "body": b"x" * 50, "more_body": True}]
    sent = []

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    token = program(site)["Authorization"].encode()
    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/uploads/{upload.id}",
        "query_string": b"offset=0",
        "headers": [(b"authorization", token), (b"content-length", b"100")],
        "client": ("192.0.2.1", 1),
    }
    asyncio.run(site.app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert offset_of(site.challenge, upload) == 0


def test_two_connections_of_one_upload_write_each_part_once(challenge):
    upload = begin_upload(challenge, team="blue", track="box", name="a", size=8000)
    refused = []

    def send(letter: bytes) -> None:
        while (offset := offset_of(challenge, upload)) < 8000:
            try:
                append_part(challenge, upload, offset, letter * 1000)
            except OffsetError as error:
                refused.append(error.offset)

    threads = [threading.Thread(target=send, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (upload_folder(challenge) / f"{upload.id}.tar").read_bytes()
    assert len(content) == 8000
    assert all(len(set(content[i : i + 1000])) == 1 for i in range(0, 8000, 1000))


def test_files_of_the_same_name_are_not_mixed(challenge):
    facts = {"team": "blue", "track": "box", "name": "a.tar", "size": 10}
    first = begin_upload(challenge, **facts, fingerprint="1")
    assert begin_upload(challenge, **facts, fingerprint="1") == first
    second = begin_upload(challenge, **facts, fingerprint="2")
    assert second.id != first.id
    with pytest.raises(UserError, match="2 unfinished uploads"):
        begin_upload(challenge, **facts, fingerprint="3")
    with pytest.raises(UserError, match="no such upload"):
        find_upload(challenge, first.id, team="red")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "1 byte to"),
        ({"size": -5}, "1 byte to"),
        ({"size": 2**40}, "0.03 GiB are allowed"),
        ({"size": "5"}, "must be a number"),
        ({"size": True}, "must be a number"),
        ({"size": 5.0}, "must be a number"),
        ({"name": None}, "must be texts"),
        ({"track": "other"}, "no track"),
        ({"fingerprint": 5}, "must be texts"),
    ],
)
def test_wishes_that_are_refused(site, changes, message):
    answer = site.nobody.client.post(
        "/uploads", json=wish(b"12345", **changes), headers=program(site)
    )
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    for body in (b"", b"[]", b"{", b"[" * 5000, b"\xff"):
        answer = site.nobody.client.post("/uploads", content=body, headers=program(site))
        assert answer.status_code == 400


def test_a_name_is_never_a_path(challenge):
    upload = begin_upload(
        challenge, team="blue", track="box", name="../../\x1b[31mx\u202e.tar", size=3
    )
    append_part(challenge, upload, 0, b"abc")
    submission, _ = finish_upload(challenge, upload)
    record = challenge.folder.submission(submission).record()
    assert record.source == "../../x.tar"
    names = {path.name for path in challenge.folder.path.rglob("*.tar")}
    assert names == {"image.tar"}


def test_a_used_quota_is_told_before_the_upload_and_keeps_it_after(challenge):
    facts = {"team": "blue", "track": "box"}
    upload = begin_upload(challenge, **facts, name="a", size=3)
    append_part(challenge, upload, 0, b"abc")
    for number in range(2):
        submit(challenge, f"{REFERENCE}{number}", **facts)
    with pytest.raises(UserError, match=r"2 submissions .* today"):
        begin_upload(challenge, **facts, name="b", size=3)
    with pytest.raises(UserError, match="which is its quota"):
        finish_upload(challenge, upload)
    # it can be handed in tomorrow
    assert (upload_folder(challenge) / f"{upload.id}.tar").read_bytes() == b"abc"
    assert uploads.unfinished(challenge, "blue")[0].id == upload.id
    assert len(challenge.folder.ids()) == 2


def test_an_upload_whose_answer_was_lost_is_handed_in_once(site):
    content, client, headers = archive_bytes(image()), site.nobody.client, program(site)
    upload = begin_upload(site.challenge, team="blue", track="box", name="a", size=len(content))
    append_part(site.challenge, upload, 0, content)
    path = f"/uploads/{upload.id}"
    first, second = (client.post(f"{path}/finish", headers=headers) for _ in range(2))
    assert first.json() == second.json()
    assert len(site.challenge.folder.ids()) == 1
    assert client.get(path, headers=headers).json()["offset"] == len(content)
    late = client.put(path, params={"offset": 0}, content=b"x", headers=headers)
    assert late.status_code == 400
    # the same file may be handed in again, as another submission
    again = client.post("/uploads", json=wish(content, name="a"), headers=headers).json()
    assert again["id"] != upload.id
    assert again["offset"] == 0


def test_an_upload_that_is_being_stored_does_not_expire(challenge, monkeypatch):
    facts = {"track": "box", "name": "a", "size": 3}
    upload = begin_upload(challenge, team="blue", **facts)
    append_part(challenge, upload, 0, b"abc")

    def receive(_, source, **__):
        stored = Path(source).rename(challenge.folder.incoming / "stored")
        begin_upload(challenge, team="red", **facts)  # looks for expired ones
        stored.rename(source)
        raise HostError("the disk is full")

    monkeypatch.setattr(uploads, "receive", receive)
    with pytest.raises(HostError):
        finish_upload(challenge, upload)
    assert find_upload(challenge, upload.id, team="blue").id == upload.id
    assert offset_of(challenge, upload) == 3


def test_a_full_disk_refuses_and_loses_nothing(challenge, monkeypatch):
    upload = begin_upload(challenge, team="blue", track="box", name="a", size=6)
    append_part(challenge, upload, 0, b"abc")
    monkeypatch.setattr(uploads, "RESERVE_BYTES", 2**62)
    with pytest.raises(HostError):
        append_part(challenge, upload, 3, b"def")
    with pytest.raises(HostError):
        begin_upload(challenge, team="red", track="box", name="a", size=6)
    monkeypatch.undo()
    assert append_part(challenge, upload, 3, b"def") == 6


def test_an_upload_that_was_left_is_removed(challenge, monkeypatch):
    left = begin_upload(challenge, team="blue", track="box", name="a", size=6)
    monkeypatch.setattr(upload_files, "EXPIRES_SECONDS", -1.0)
    begin_upload(challenge, team="red", track="box", name="a", size=6)
    with pytest.raises(UserError, match="no such upload"):
        find_upload(challenge, left.id, team="blue")


def test_a_damaged_file_of_an_upload_stops_no_other_one(challenge, monkeypatch, messages):
    damaged = begin_upload(challenge, team="blue", track="box", name="a", size=6)
    (upload_folder(challenge) / f"{damaged.id}.json").write_text('{"id": 1')
    for team in ("blue", "red"):
        upload = begin_upload(challenge, team=team, track="box", name="a", size=6)
        assert append_part(challenge, upload, 0, b"abcdef") == 6
        assert uploads.unfinished(challenge, team) == [upload]
    with pytest.raises(UserError, match="no such upload"):
        find_upload(challenge, damaged.id, team="blue")
    assert any(damaged.id in line for line in messages)
    monkeypatch.setattr(upload_files, "EXPIRES_SECONDS", -1.0)
    begin_upload(challenge, team="red", track="box", name="b", size=6)
    assert not list(upload_folder(challenge).glob(f"{damaged.id}.*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from evaluator.challenges import incoming, submitting
from evaluator.challenges.opening import open_challenge
from evaluator.portal import uploads
from evaluator.portal.uploads import find_upload, finish_upload

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def no_links(*_, **__):
    raise OSError("this file system has no hard links")

folder, identifier, module, name, has_links = sys.argv[1:]
if not has_links:
    os.link = no_links
modules = {"incoming": incoming, "submitting": submitting, "uploads": uploads}
setattr(modules[module], name, kill)
challenge = open_challenge(Path(folder))
finish_upload(challenge, find_upload(challenge, identifier, team="blue"))
"""


@pytest.mark.parametrize(
    ("moment", "has_links"),
    [
        pytest.param("incoming.write_typed", "yes", marks=pytest.mark.extended),
        ("submitting.publish", "yes"),
        # the submission is complete, and the upload not forgotten
        pytest.param("uploads.suppress", "yes", marks=pytest.mark.extended),
        ("uploads.suppress", ""),
    ],
)
def test_an_upload_whose_portal_is_killed_is_handed_in_once(challenge, moment, has_links):
    content = archive_bytes(image())
    upload = begin_upload(challenge, team="blue", track="box", name="a", size=len(content))
    append_part(challenge, upload, 0, content)
    words = [str(challenge.folder.path), upload.id, *moment.split("."), has_links]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], cwd=PROJECT, check=False)
    assert killed.returncode == -9
    assert offset_of(challenge, upload) == len(content)
    submission, _ = finish_upload(challenge, upload)
    assert finish_upload(challenge, upload) == (submission, None)
    assert challenge.folder.ids() == [submission]
    assert challenge.folder.submission(submission).archive.read_bytes() == content
    assert submissions_left(challenge, team="blue", track="box")[0] == 1
    assert [row.id for row in statuses(challenge)] == [submission]
    remove_leftovers(challenge)
    left = [path for path in challenge.folder.incoming.iterdir() if path.name != "uploads"]
    assert left == []


def test_the_file_of_an_upload_that_was_handed_in_makes_no_second_submission(challenge):
    content = archive_bytes(image())
    upload = begin_upload(challenge, team="blue", track="box", name="a", size=len(content))
    append_part(challenge, upload, 0, content)
    submission, _ = finish_upload(challenge, upload)
    left = upload_folder(challenge) / f"{upload.id}.tar"
    assert not left.exists()
    left.write_bytes(content)
    again = begin_upload(challenge, team="blue", track="box", name="a", size=len(content))
    assert again.id == upload.id
    assert finish_upload(challenge, again) == (submission, None)
    assert not left.exists()


def test_a_submission_that_was_stored_stays_when_its_intake_is_interrupted(challenge, monkeypatch):
    content = archive_bytes(image())
    upload = begin_upload(challenge, team="blue", track="box", name="a", size=len(content))
    append_part(challenge, upload, 0, content)
    publish = submitting.publish

    def publish_and_stop(staged, target):
        publish(staged, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(submitting, "publish", publish_and_stop)
    with pytest.raises(KeyboardInterrupt):
        finish_upload(challenge, upload)
    monkeypatch.undo()
    (submission,) = challenge.folder.ids()
    assert [row.id for row in statuses(challenge)] == [submission]
    assert finish_upload(challenge, upload) == (submission, None)
    assert submissions_left(challenge, team="blue", track="box")[0] == 1


def test_an_upload_that_ends_while_old_ones_are_removed_disturbs_nobody(challenge, monkeypatch):
    ended = begin_upload(challenge, team="blue", track="box", name="a", size=6)
    listed = Path.glob

    def glob(path, pattern):
        paths = list(listed(path, pattern))
        if pattern == "*.tar":
            upload_files.remove_upload(challenge, ended.id)
        return paths

    monkeypatch.setattr(Path, "glob", glob)
    upload = begin_upload(challenge, team="red", track="box", name="a", size=6)
    assert offset_of(challenge, upload) == 0


def test_a_team_that_cannot_take_part_begins_no_upload(challenge):
    begin_upload(challenge, team="red", track="box", name="a", size=6)
    submit(challenge, REFERENCE, team="blue", track="box")
    with pytest.raises(UserError, match="differs in its case only"):
        begin_upload(challenge, team="Blue", track="box", name="a", size=6)


def test_a_submission_that_cannot_be_stored_is_not_counted(challenge, monkeypatch):
    content = archive_bytes(image())
    upload = begin_upload(challenge, team="blue", track="box", name="a", size=len(content))
    append_part(challenge, upload, 0, content)

    def full(*_):
        raise HostError("the disk is full")

    monkeypatch.setattr(submitting, "publish", full)
    with pytest.raises(HostError):
        finish_upload(challenge, upload)
    monkeypatch.undo()
    assert submissions_left(challenge, team="blue", track="box")[0] == 2
    assert statuses(challenge) == []
    finish_upload(challenge, upload)
    assert submissions_left(challenge, team="blue", track="box")[0] == 1


def test_a_form_that_fills_the_disk_is_no_fault_of_the_portal(site, monkeypatch, messages):
    opened = Path.open

    def full(path, mode="r", *arguments, **options):
        if mode == "xb":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, *arguments, **options)

    fields = {"csrf": site.blue.csrf, "track": "box"}
    files = {"archive": ("a.tar", io.BytesIO(b"abc"))}
    monkeypatch.setattr(Path, "open", full)
    answer = site.blue.client.post("/submit", data=fields, files=files)
    monkeypatch.undo()
    assert answer.status_code == 503
    assert site.challenge.folder.ids() == []
    assert any("space" in line for line in messages)


def test_a_form_hands_in_an_archive_without_javascript(site):
    content = archive_bytes(image())
    fields = {"csrf": site.blue.csrf, "track": "box"}
    files = {"archive": ("../my image.tar", io.BytesIO(content))}
    answer = site.blue.client.post("/submit", data=fields, files=files)
    assert answer.status_code == 303, answer.text
    submission = answer.headers["location"].rpartition("/")[2]
    folder = site.challenge.folder.submission(submission)
    assert folder.archive.read_bytes() == content
    assert "queued" in site.blue.get(f"/submissions/{submission}").text
    assert list(site.challenge.folder.incoming.rglob("*.tar")) == []


@pytest.mark.parametrize(
    "reference", ["/etc/passwd", "~/x", "../private/salt", "private/salt", "-x", "a b", "x.tar", ""]
)
def test_a_reference_is_never_a_file_of_this_machine(site, monkeypatch, reference):
    monkeypatch.chdir(site.challenge.folder.path)
    answer = site.blue.post("/submit", track="box", reference=reference)
    if answer.status_code == 303:  # it has the form of a reference, and is one
        (submission,) = site.challenge.folder.ids()
        assert not site.challenge.folder.submission(submission).archive.exists()
    else:
        assert answer.status_code == 400
        assert site.challenge.folder.ids() == []


def test_refused_archives_are_explained_to_the_team_only(site):
    fields = {"csrf": site.blue.csrf, "track": "box"}
    files = {"archive": ("image.tar", io.BytesIO(b"<script>alert(1)</script>" * 50))}
    answer = site.blue.client.post("/submit", data=fields, files=files)
    page = site.blue.get(answer.headers["location"]).text
    assert "failed" in page
    assert "problem" in page
    assert "<script>alert" not in page
    assert site.red.get(answer.headers["location"]).status_code == 404
