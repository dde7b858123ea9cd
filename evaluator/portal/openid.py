"""A provider of OpenID Connect: where it is, what it signs, and whom it names.

OpenID Connect Core 1.0 (authorization code flow) and Discovery 1.0; PKCE is RFC 7636, the issuer in
the answer RFC 9207. Authlib makes the requests and checks the claims; joserfc checks signatures.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from evaluator.challenges.sign_in_definition import SignIn, require_encryption
from evaluator.errors import HostError
from evaluator.plain_text import clean_text

logger = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
#: signatures with the provider's public key; "none" and those with a shared secret are not among it
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
KEY_TYPES = ("RSA", "EC")
#: to connect, and between two packets of an answer, seconds
TIMEOUT = (5.0, 10.0)
#: how far the provider's clock may differ, seconds
CLOCK_SKEW_SECONDS = 120
#: how long the provider's description is used, seconds
METADATA_SECONDS = 3600.0
#: an unknown key makes the portal read the keys again, but not more often, seconds
KEYS_SECONDS = 10.0
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class RefusedError(Exception):
    """The provider's answer proves nobody's identity; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the portal keeps of a sign-in until the provider's answer."""

    state: str
    nonce: str
    #: of PKCE; only the provider's token endpoint sees it
    verifier: str
    #: seconds of this process's clock
    ends: float


class Provider:
    """The provider that ``[sign_in]`` of ``challenge.toml`` names. Its methods block."""

    def __init__(self, definition: SignIn, redirect_uri: str, secret: str = "") -> None:
        """Describe the provider; nothing is requested.

        Args:
            definition: from ``challenge.toml``.
            redirect_uri: where the provider sends people back to.
            secret: of the client; empty: the client is public and proves itself by PKCE only.
        """
        self.definition = definition
        self._redirect_uri = redirect_uri
        self._secret = secret
        self._lock = threading.Lock()
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def authorization_url(self, attempt: Attempt) -> str:
        """Where a person signs in.

        Raises:
            HostError: the provider does not answer, or is not the one that is named.
        """
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._described("authorization_endpoint"),
                state=attempt.state,
                code_verifier=attempt.verifier,
                nonce=attempt.nonce,
            )
        return str(url)

    def end_session_url(self) -> str:
        """Where a person signs out of the provider; empty if it has no such page."""
        url = str(self._description().get("end_session_endpoint") or "")
        if not url:
            return ""
        query = urlencode({"client_id": self.definition.client_id})
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def sends_issuer(self) -> bool:
        """Whether each answer names the issuer."""
        return self._description().get("authorization_response_iss_parameter_supported") is True

    def claims(self, code: str, attempt: Attempt) -> dict[str, Any]:
        """The claims of the person for whom the provider issued a code.

        Raises:
            RefusedError: the code is not valid, or the token is not, or not for this sign-in.
            HostError: the provider does not answer.
        """
        try:
            with self._client() as client:
                token = client.fetch_token(
                    self._described("token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=self._redirect_uri,
                    code_verifier=attempt.verifier,
                    timeout=TIMEOUT,
                    allow_redirects=False,
                )
                claims = self._checked(token, attempt.nonce)
                if self.definition.claim not in claims:
                    claims |= self._user_info(client, claims["sub"])
        except requests.RequestException as error:
            raise self._silent(error) from error
        except (AuthlibBaseError, JoseError) as error:
            raise RefusedError(clean_text(str(error), 200)) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RefusedError(f"the answer is malformed ({type(error).__name__})") from error
        return claims

    def _checked(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        text = token["id_token"]
        try:
            signed = self._verified(text, self._key_set())
        except (InvalidKeyIdError, BadSignatureError):  # the provider may have new keys
            signed = self._verified(text, self._key_set(renew=True))
        options = {
            "iss": {"essential": True, "value": self.definition.issuer},
            "aud": {"essential": True, "value": self.definition.client_id},
        }
        facts = {"nonce": nonce, "client_id": self.definition.client_id}
        if token.get("access_token"):
            facts["access_token"] = token["access_token"]
        claims = CodeIDToken(signed.claims, signed.header, options, facts)
        claims.validate(leeway=CLOCK_SKEW_SECONDS)
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise RefusedError("the subject is not a text of 1 to 255 characters")
        return dict(claims)

    def _verified(self, text: str, keys: KeySet) -> jwt.Token:
        supported = self._description().get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = [name for name in ALGORITHMS if name in supported]
        registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
        return jwt.decode(text, keys, registry=registry)

    def _user_info(self, client: OAuth2Session, subject: str) -> dict[str, Any]:
        """Further claims, which some providers do not put into the token."""
        url = self._description().get("userinfo_endpoint")
        if not url:
            return {}
        _require_encryption(url)
        answer = client.get(url, timeout=TIMEOUT, allow_redirects=False)
        answer.raise_for_status()
        claims = answer.json()
        if claims.get("sub") != subject:
            raise RefusedError("the provider's two answers name different people")
        return dict(claims)

    def _client(self) -> OAuth2Session:
        method = "none"
        if self._secret:
            supported = self._description().get("token_endpoint_auth_methods_supported")
            basic = supported is None or "client_secret_basic" in supported
            method = "client_secret_basic" if basic else "client_secret_post"
        return OAuth2Session(
            self.definition.client_id,
            self._secret or None,
            scope=" ".join(self.definition.scopes),
            redirect_uri=self._redirect_uri,
            token_endpoint_auth_method=method,
            code_challenge_method="S256",
        )

    def _description(self) -> dict[str, Any]:
        with self._lock:
            if self._metadata is None or time.monotonic() > self._metadata[0]:
                body = self._read(self.definition.issuer.rstrip("/") + DISCOVERY)
                self._require_same(body)
                self._metadata = (time.monotonic() + METADATA_SECONDS, body)
            return self._metadata[1]

    def _require_same(self, body: dict[str, Any]) -> None:
        if body.get("issuer") != self.definition.issuer:
            shown = clean_text(str(body.get("issuer")), 200)
            raise HostError(
                f"the provider calls itself {shown!r}, and challenge.toml calls it "
                f"{self.definition.issuer!r}; write issuer as the provider does"
            )
        for name in ENDPOINTS:
            _require_encryption(str(body.get(name, "")))

    def _described(self, name: str) -> str:
        return str(self._description()[name])

    def _key_set(self, *, renew: bool = False) -> KeySet:
        url = self._described("jwks_uri")
        with self._lock:
            now = time.monotonic()
            if self._keys is None or (renew and now > self._keys[0] + KEYS_SECONDS):
                keys = [key for key in self._read(url)["keys"] if key.get("kty") in KEY_TYPES]
                self._keys = (now, KeySet.import_key_set({"keys": keys}))
            return self._keys[1]

    def _read(self, url: str) -> dict[str, Any]:
        try:
            answer = requests.get(url, timeout=TIMEOUT, allow_redirects=False)
            if answer.status_code != requests.codes.ok:
                raise requests.HTTPError(f"status {answer.status_code}")
            return dict(answer.json())
        except (requests.RequestException, ValueError, TypeError) as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> HostError:
        reason = clean_text(str(error), 300)
        return HostError(f"{self.definition.issuer} does not answer as a provider does: {reason}")


def _require_encryption(url: str) -> None:
    try:
        require_encryption(url)
    except ValueError as error:
        raise HostError(f"the provider names an address of its that {error}") from None
