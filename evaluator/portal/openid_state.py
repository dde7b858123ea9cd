"""What the portal keeps of sign-ins by OpenID Connect, and the secret of its client."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from evaluator.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.opening import OpenChallenge
    from evaluator.portal.openid import Attempt, Provider

CALLBACK = "/sign-in/provider/answer"
COOKIE = "umd_sign_in"
#: a person has so long to sign in at the provider, seconds
ATTEMPT_SECONDS = 600
#: sign-ins that were begun; the oldest are forgotten
MOST_ATTEMPTS = 10_000
#: requests to the provider at the same time
MOST_REQUESTS = 4
#: where the client's secret is: in the environment, or in the folder ``private``
SECRET_VARIABLE, SECRET_FILE = "UMD_OIDC_CLIENT_SECRET", "oidc-client-secret"


class Attempts:
    """Sign-ins that were begun. Each is taken once."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[str, Attempt] = OrderedDict()

    def begin(self) -> tuple[str, Attempt]:
        """Begin one; returns the value of the browser's cookie with it."""
        from evaluator.portal.openid import Attempt

        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            ends=time.monotonic() + ATTEMPT_SECONDS,
        )
        identifier = secrets.token_urlsafe(32)
        self._attempts[identifier] = attempt
        while len(self._attempts) > MOST_ATTEMPTS:
            self._attempts.popitem(last=False)
        return identifier, attempt

    def take(self, identifier: str, state: str) -> Attempt | None:
        """The sign-in of a browser; None if it began none that the answer belongs to."""
        attempt = self._attempts.pop(identifier, None)
        if attempt is None or time.monotonic() > attempt.ends:
            return None
        encoded = state.encode("utf-8", "surrogatepass")
        return attempt if secrets.compare_digest(attempt.state.encode(), encoded) else None


class ProviderState:
    """What the portal keeps for its provider."""

    def __init__(self, provider: Provider, *, https: bool) -> None:
        self.provider = provider
        self.attempts = Attempts()
        self.free = asyncio.Semaphore(MOST_REQUESTS)
        self.cookie = f"__Host-{COOKIE}" if https else COOKIE


def provider_state(challenge: OpenChallenge, url: str, *, https: bool) -> ProviderState | None:
    """What the portal keeps for the provider of ``challenge.toml``; None if it names none.

    Args:
        challenge: whose definition and secret are read.
        url: the portal's address, without a path.
        https: whether readers use HTTPS.

    Raises:
        UserError: Authlib is not installed, or the secret cannot be read.
    """
    definition = challenge.definition.sign_in
    if definition is None:
        return None
    try:
        from evaluator.portal.openid import Provider
    except ModuleNotFoundError as error:
        raise UserError(
            f"[sign_in] of challenge.toml needs Authlib, and {error.name} is missing; install it "
            "in the environment of umd with: python -m pip install 'authlib>=1.9'"
        ) from error
    provider = Provider(definition, url + CALLBACK, client_secret(challenge.folder.path))
    return ProviderState(provider, https=https)


def client_secret(folder: Path) -> str:
    """The client's secret: of the environment, or of the challenge's folder; empty: it has none.

    Raises:
        UserError: the file cannot be read, or others can read it.
    """
    if secret := os.environ.get(SECRET_VARIABLE, "").strip():
        return secret
    path = folder / "private" / SECRET_FILE
    try:
        if path.stat().st_mode & 0o077:
            raise UserError(f"{path}: other users can read it: chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
