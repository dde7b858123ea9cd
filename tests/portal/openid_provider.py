"""A small provider of OpenID Connect, which signs in whoever the test says.

Discovery, authorization code flow with PKCE, keys, claims about the user, end of the session.
``tamper`` changes what it signs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "umd-portal", "secret-of-the-client"


class OpenIdProvider:
    """Serves on a free port of this machine until it is closed."""

    def __init__(self) -> None:
        self.user: dict[str, Any] = {"sub": "1", "email": "Bob@example.org", "email_verified": True}
        #: whether the claims of the user are in the token or at the address for them
        self.user_info_only = False
        self.asks = False
        self.codes: dict[str, dict[str, str]] = {}
        self.tamper: Callable[[dict[str, str], dict[str, Any]], str | None] = lambda *_: None
        self.description: dict[str, Any] = {}
        self.requests: list[str] = []
        self.redirect_uris: list[str] = []
        self.rotate()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})

    def metadata(self) -> dict[str, Any]:
        names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        body = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in names.items()}
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/end",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **body,
            **self.description,
        }

    def authorize(self, query: dict[str, str]) -> tuple[int, str, str]:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        if query["redirect_uri"] not in self.redirect_uris:
            return 400, "text/plain", "unknown redirect_uri"
        if self.asks and "yes" not in query:
            fields = "".join(
                f'<input type="hidden" name="{key}" value="{value}">'
                for key, value in query.items()
            )
            button = '<button name="yes" value="1" id="yes">Yes</button>'
            form = f'<form action="/authorize">{fields}{button}</form>'
            return 200, "text/html", f"<!doctype html><title>Provider</title>{form}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.issuer}
        return 302, query["redirect_uri"] + "?" + urlencode(answer), ""

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        expected = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        encoded = base64.urlsafe_b64encode(challenge).decode().rstrip("=")
        if (
            asked is None
            or form["redirect_uri"] != asked["redirect_uri"]
            or encoded != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now}
        claims |= {"nonce": asked["nonce"], "sub": self.user["sub"]}
        claims |= {} if self.user_info_only else self.user
        header = {"alg": "RS256", "kid": self.key.kid}
        signed = self.tamper(header, claims) or jwt.encode(header, claims, self.key)
        return 200, {"access_token": "access", "token_type": "Bearer", "id_token": signed}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                provider.requests.append(url.path)
                if url.path == "/.well-known/openid-configuration":
                    self._json(200, provider.metadata())
                elif url.path == "/keys":
                    self._json(200, {"keys": [provider.key.as_dict(private=False)]})
                elif url.path == "/userinfo":
                    assert self.headers["Authorization"] == "Bearer access"
                    self._json(200, provider.user)
                elif url.path == "/authorize":
                    status, kind, text = provider.authorize(query)
                    self._answer(status, kind, text.encode())
                else:
                    self._answer(200, "text/html", b"<title>signed out</title>")

            def do_POST(self) -> None:
                provider.requests.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {key: values[0] for key, values in parse_qs(body).items()}
                self._json(*provider.token(form, self.headers.get("Authorization", "")))

            def _json(self, status: int, body: dict[str, Any]) -> None:
                self._answer(status, "application/json", json.dumps(body).encode())

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", kind)
                else:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler
