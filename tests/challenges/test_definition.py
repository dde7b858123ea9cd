"""challenge.toml: what is read, and what is refused with file and key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evaluator.challenges import checking
from evaluator.challenges.checking import check_challenge
from evaluator.challenges.definition import read_definition
from evaluator.challenges.opening import init_challenge, open_challenge
from evaluator.challenges.template import TEMPLATE
from evaluator.errors import ManifestError, UserError


@pytest.fixture
def folder(tmp_path):
    return init_challenge(tmp_path / "challenge").path


def write(folder, *changes: tuple[str, str]):
    text = TEMPLATE
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    (folder / "challenge.toml").write_text(text)
    return folder


def test_the_example_runs_at_once(folder):
    definition = read_definition(folder)
    assert definition.track("box").protocol == "box"
    assert definition.open_phase().name == "test"
    problems = check_challenge(folder)
    assert {problem.severity for problem in problems} == {"warning"}
    places = " ".join(problem.place for problem in problems)
    assert "engine" in places and "hidden_dataset" in places
    with pytest.raises(UserError, match="never overwritten"):
        init_challenge(folder)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("archive_gib = 40", "archive_gb = 40", "limits.archive_gb: is not known"),
        ("host_retries = 3", 'host_retries = "three"', "limits.host_retries: should be"),
        ("submission_seconds = 3600", "submission_seconds = 0", "limits.submission_seconds"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "phases.0.start: should have a time zone"),
        ("2036-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "end should be later than start"),
        ('name = "test"', 'name = "A phase"', "phases.0.name"),
        ('logs = "failures"', 'logs = "some"', "phases.0.logs"),
        ('failures = "worst"', 'failures = "baseline"', 'needs baseline = "MODEL"'),
        ('name = "nsd"', 'name = "dice"', "metrics must not be repeated"),
        ('title = "A box on each image"', 'title = ""', "tracks.0.title"),
        ('prompts = ["box"]', 'prompts = ["shout"]', "tracks.0.prompts"),
        ('prompts = ["box"]', 'modalities = ["US"]', "tracks.0.modalities"),
        ('name = "example"', "name = example", "not TOML"),
        ('public_dataset = "phantom-toy"\n', "", "public_dataset: is missing"),
        ('protocol = "box"', r'protocol = "a\u0000.toml"', "has control characters"),
        ('title = "A box', r'title = "\u202eA box', "has control characters"),
        ('name = "box"', f'name = "{"b" * 65}"', "tracks.0.name"),
        ('name = "box"', 'name = "../box"', "tracks.0.name"),
        ("per_day = 5", f"per_day = {10**30}", "phases.0.quota.per_day"),
        ("archive_gib = 40", "archive_gib = inf", "limits.archive_gib"),
        ('engine = "local"', f"x = {'[' * 5000}", "nested too deeply"),
        ('engine = "local"', "#" * 2**21, "larger than 1048576 bytes"),
    ],
)
def test_a_mistake_is_told_with_file_and_key(folder, before, after, message):
    write(folder, (before, after))
    with pytest.raises(ManifestError) as raised:
        read_definition(folder)
    assert str(folder / "challenge.toml") in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after", "place", "message"),
    [
        (
            'public_dataset = "phantom-toy"',
            'public_dataset = "phantm"',
            "public_dataset",
            "no dataset",
        ),
        ('hidden_dataset = "phantom-toy"', 'hidden_dataset = "x.toml"', "hidden_dataset", "x.toml"),
        ('protocol = "box"', 'protocol = "boxes"', "tracks.box.protocol", "no protocol"),
        ('prompts = ["box"]', 'prompts = ["text"]', "tracks.box.prompts", "gives no text"),
        ('name = "nsd"', 'name = "iou"', "ranking.metrics", "has no metric iou"),
        ('name = "nsd"', 'name = "rve"', "ranking.metrics", "no worst value"),
        ('order = "rank', 'baseline = "none-such"\norder = "rank', "ranking.baseline", "no model"),
        ('protocol = "box"', 'contract = "9"\nprotocol = "box"', "tracks.box.contract", "known: 1"),
    ],
)
def test_check_says_what_does_not_exist(folder, before, after, place, message):
    write(folder, (before, after))
    errors = [problem for problem in check_challenge(folder) if problem.severity == "error"]
    assert any(place in error.place and message in error.message for error in errors), errors


def test_secrets_that_others_can_read_are_an_error(folder):
    (folder / "private" / "salt").chmod(0o644)
    assert any("chmod 600" in problem.message for problem in check_challenge(folder))


def test_phases_say_when_they_take_submissions_and_show_scores(folder):
    write(folder, ('scores = "visible"', 'scores = "visible"\nembargo = 2030-01-01T00:00:00Z'))
    definition = read_definition(folder)
    phase = definition.phases[0]
    assert not phase.shows_scores(datetime(2029, 1, 1, tzinfo=UTC))
    assert phase.shows_scores(datetime(2030, 1, 1, tzinfo=UTC))
    assert phase.is_open(phase.start) and not phase.is_open(phase.end)
    with pytest.raises(UserError, match="no phase takes submissions now; test: 2026"):
        definition.open_phase(phase.end + timedelta(days=1))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////etc/passwd", "cannot be used: file is not a database"),
        ("postgresql://umd:secret@[::1/x", r"umd:\*\*\*@"),
        ("sqlite:////etc", "does not answer"),
    ],
)
def test_a_database_that_is_none_is_told_without_its_password(folder, url, message):
    write(folder, ("probe_subjects = 1", f'probe_subjects = 1\ndatabase = "{url}"'))
    with pytest.raises(UserError, match=message) as raised:
        open_challenge(folder)
    assert "secret" not in str(raised.value)


def test_an_old_docker_is_named():
    assert list(checking._check_version("docker", "25.0.1")) == []
    assert list(checking._check_version("podman", "4.3")) == []
    (problem,) = checking._check_version("docker", "20.10.24+dfsg1")
    assert "AF_VSOCK" in problem.message
