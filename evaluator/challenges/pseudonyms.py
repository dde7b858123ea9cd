"""Names and orders that depend on the challenge's secret."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from evaluator.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def order_seed(salt: Path, submission: str) -> int:
    """The seed of the order in which a submission gets the hidden cases."""
    return int(_digest(salt, f"order {submission}")[:8], 16)


def subject_pseudonym(salt: Path, subject: str) -> str:
    """The public name of a hidden subject: equal in all results of a challenge."""
    return f"s-{_digest(salt, f'subject {subject}')[:10]}"


def case_pseudonym(salt: Path, case: str) -> str:
    """The public name of a hidden case: equal in all results of a challenge."""
    return f"c-{_digest(salt, f'case {case}')[:10]}"


def _digest(salt: Path, text: str) -> str:
    try:
        secret = salt.read_bytes()
    except OSError as error:
        raise UserError(
            f"{salt}: {error.strerror}; restore the secret from a copy, since all pseudonyms "
            "depend on it"
        ) from None
    return hmac.new(secret, text.encode(), "sha256").hexdigest()
