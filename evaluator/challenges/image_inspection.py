"""Inspect a submission before anything of it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.challenges.archives import ArchiveLimits, inspect_archive
from evaluator.challenges.folder import all_submissions
from evaluator.challenges.records import CheckRecord
from evaluator.errors import UnknownNameError
from evaluator.plain_text import clean_json, clean_text
from evaluator.zoo import find_model

if TYPE_CHECKING:
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge

GIB = 2**30


def inspect_submission(challenge: OpenChallenge, submission: SubmissionFolder) -> CheckRecord:
    """Inspect what a team handed in, without running it.

    Returns:
        what was found; whatever is wrong with it is a sentence of ``problems``.
    """
    record = submission.record()
    definition = challenge.definition
    if definition.engine == "local" or record.baseline:
        return _inspect_model(record.source, local=definition.engine == "local")
    if not submission.archive.is_file():
        return _inspect_reference(record.source)
    report = inspect_archive(
        submission.archive,
        ArchiveLimits(packed_bytes=int(definition.limits.archive_gib * GIB)),
        earlier=_earlier_images(challenge, submission),
        contract=definition.track(record.track).contract,
    )
    image = report.images[0].config if report.images else None
    return CheckRecord(
        accepted=report.accepted,
        problems=report.problems,
        notes=report.notes,
        image=image.digest if image else "",
        labels=clean_json(dict(image.labels)) if image else {},
    )


def _inspect_model(name: str, *, local: bool) -> CheckRecord:
    """A model of the zoo, for rehearsals and baselines."""
    try:
        model = find_model(name)
    except UnknownNameError as error:
        reason = "this challenge runs models of the zoo (engine local): " if local else ""
        return CheckRecord(accepted=False, problems=(f"{reason}{error}",))
    if local and model.adapter is None:
        return CheckRecord(accepted=False, problems=(f"Model {name} has no adapter.py.",))
    note = "It is a model of the zoo, and no image of a team."
    return CheckRecord(accepted=True, notes=(note,), labels=dict(model.card.labels))


def _inspect_reference(reference: str) -> CheckRecord:
    """The reference of an image: only its form is known before it is pulled."""
    if reference != clean_text(reference) or not reference or reference.startswith("-"):
        return CheckRecord(accepted=False, problems=("This is no reference of an image.",))
    note = "The image is pulled when it is evaluated; its layers are not inspected."
    return CheckRecord(accepted=True, notes=(note,))


def _earlier_images(challenge: OpenChallenge, present: SubmissionFolder) -> dict[str, str]:
    """The images of other submissions to the same track: id of the image -> submission."""
    images = {}
    track = present.record().track
    for submission in all_submissions(challenge.folder):
        if submission.id == present.id or submission.record().track != track:
            continue
        check = submission.check()
        if check and check.accepted and check.image:
            images[check.image] = submission.id
    return images
