"""An attempt's steps: which of them ends a submission, and what a track says of an image."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from evaluator.analysis import outcomes
from evaluator.challenges import attempt
from evaluator.challenges.attempt import AttemptFailedError, evaluate
from evaluator.challenges.attempt_process import AttemptProcess
from evaluator.challenges.definition import read_definition
from evaluator.challenges.folder import SubmissionFolder
from evaluator.challenges.opening import init_challenge
from evaluator.challenges.queue import Claim
from evaluator.challenges.records import AttemptEnd, SubmissionRecord
from evaluator.runs.json_types import write_typed
from evaluator.zoo.image_definitions import read_definition as read_image
from evaluator.zoo.registered_images import add_image

SOCKETS = """
[inputs.ct]
path = "images/ct"
modality = "CT"
[outputs.organ]
path = "images/organ"
targets = { "*" = 1 }
"""
CONTRACT_1 = {"umd.contract": "1", "umd.name": "n", "umd.title": "t", "umd.inputs": "CT",
              "umd.prompts": "box", "umd.session": "stdio"}  # fmt: skip


@pytest.mark.parametrize(
    ("of_first_subject", "goes_on"),
    [
        (["ok", "crashed"], True),
        # the model takes no modality of the subject that comes first by chance
        (["unsupported"], True),
        (["unsupported", "crashed"], False),
        (["wrong-shape"], False),
        ([], False),
    ],
)
def test_the_first_hidden_subject_ends_what_fails_on_it(
    tmp_path, monkeypatch, of_first_subject, goes_on
):
    folder = init_challenge(tmp_path / "challenge")
    submission = folder.submissions / "20260101-0"
    record = SubmissionRecord(
        id="20260101-0", team="blue", track="box", phase="test", received="", source="ellipsoid"
    )
    write_typed(submission / "submission.json", record)
    steps = []

    def execute(config):
        statuses = of_first_subject if config.limit == 1 and config.shuffle else ["ok"]
        steps.append(config.limit)
        return [SimpleNamespace(status=status, count=1) for status in statuses]

    monkeypatch.setattr(attempt, "resolve", lambda config: config)
    monkeypatch.setattr(attempt, "execute", execute)
    monkeypatch.setattr(attempt, "outcomes", lambda run: run)
    monkeypatch.setattr(attempt, "has_masks", lambda run: any(o.status == "ok" for o in run))

    def run() -> None:
        definition = read_definition(folder.path)
        evaluate(folder, definition, folder.submission("20260101-0"), 1, (), None)

    if goes_on:
        run()
    else:
        with pytest.raises(AttemptFailedError, match="first hidden subject"):
            run()
    assert steps == ([1, 1, None] if goes_on else [1, 1])


@pytest.mark.parametrize(
    ("labels", "contract", "sockets", "chosen"),
    [
        ({}, "cvpr25", None, "cvpr25"),
        (CONTRACT_1, "cvpr25", None, "1"),
        ({}, "grand-challenge", SOCKETS, "grand-challenge"),
        (CONTRACT_1, "grand-challenge", SOCKETS, "1"),
    ],
)
def test_labels_of_an_image_come_before_the_tracks_contract(
    tmp_path, monkeypatch, labels, contract, sockets, chosen
):
    monkeypatch.setenv("UMD_MODELS", str(tmp_path))
    path = tmp_path / "sockets.toml"
    path.write_text(SOCKETS)
    digest = "sha256:" + "0" * 64
    store = SimpleNamespace(
        find=lambda _: digest, describe=lambda _: SimpleNamespace(labels=labels)
    )
    written, _ = add_image(
        "submission", "team/model:1", store, contract=contract,
        sockets=str(path) if sockets else None, labels_first=True,
    )  # fmt: skip
    image = read_image(written)[0]
    assert image.labels["umd.contract"] == chosen
    has_map = "umd.sockets" in json.dumps(dict(image.labels))
    assert has_map == (chosen == "grand-challenge")


def test_no_reason_that_a_team_reads_has_a_path_of_the_organiser(tmp_path, monkeypatch):
    (tmp_path / "model.log").write_text("a line\n")
    run = SimpleNamespace(path=tmp_path, name="probe")
    crashed = outcomes.Outcome(status="crashed", count=2, first="a CT, liver", detail="exit 1")
    monkeypatch.setattr(outcomes, "outcomes", lambda run, number: (crashed,))
    assert str(tmp_path) in " ".join(outcomes.describe_outcomes(run))
    lines = outcomes.describe_outcomes(run, with_log=False)
    assert lines == ["Predictions: 2 crashed.", "crashed, the first of 2: a CT, liver: exit 1"]


def test_the_end_of_an_attempt_that_did_not_count_is_not_the_next_ones(tmp_path, monkeypatch):
    folder = init_challenge(tmp_path / "challenge")
    submission = SubmissionFolder(folder.submissions / "20260101-0", folder.runs)
    write_typed(submission.attempt_path(1, 1), AttemptEnd(ended="done", step="all cases"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: SimpleNamespace(pid=0))
    claim = Claim(submission=submission.id, job=1, attempt=1, worker="w")
    AttemptProcess(folder, submission, claim, "none")
    assert submission.attempt(1, 1) is None
