"""Signatures of results: ed25519 (RFC 8032) over canonical JSON.

Who has the public key alone can see that a result is the organiser's and was not changed. A signed
document is a JSON object with the fields of its body and ``signature``, which has the key's name
and the signature in base64.

Canonical JSON here: UTF-8, keys sorted by code point, no spaces, no NaN, numbers as Python writes
them (the shortest text that gives the same float). It resembles RFC 8785, whose numbers are written
as in JavaScript.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from evaluator.errors import UserError, write_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "ed25519"
FIELD = "signature"
#: what is signed begins with it, so a signature is of no use in another program
CONTEXT = b"umd challenge result 1\n"
PRIVATE_NAME, PUBLIC_NAME = "signing-key.pem", "public-key.pem"
#: larger files are no keys and no results, bytes
MOST_KEY_BYTES, MOST_DOCUMENT_BYTES = 10_000, 256 * 2**20

Json = dict[str, Any]


class SignatureError(UserError):
    """A document that is not signed by the key, or was changed after it was signed."""


def canonical_json(body: Mapping[str, Any]) -> bytes:
    """The one text of a JSON object, independent of the order of its keys.

    Raises:
        UserError: it holds NaN, an infinity, a key that is no text, or a lone surrogate.
    """
    _check_keys(body)
    try:
        text = json.dumps(
            body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"the document cannot be signed: {error}") from None


def _check_keys(value: Any) -> None:
    """JSON turns the keys 1 and "1" into one; so only texts are taken."""
    values = [value]
    while values:
        entry = values.pop()
        if isinstance(entry, list | tuple):
            values += entry
        elif isinstance(entry, dict):
            if not all(isinstance(key, str) for key in entry):
                raise UserError("the document cannot be signed: a key is no text")
            values += entry.values()


def create_keys(folder: Path) -> tuple[Path, Path]:
    """Write a new pair of keys; an existing one is never replaced.

    Args:
        folder: where to; it is created.

    Returns:
        the private key, which only its owner can read, and the public key.

    Raises:
        UserError: the folder has a key.
        HostError: a file cannot be written.
    """
    private_path, public_path = folder / PRIVATE_NAME, folder / PUBLIC_NAME
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for path, content, mode in ((private_path, private, 0o600), (public_path, public, 0o644)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(path, flags, mode), "wb") as file:
                file.write(content)
        except FileExistsError:
            raise UserError(
                f"{path} exists; results are signed with it, so it is not replaced"
            ) from None
        except OSError as error:
            raise write_fault(path, error) from error
    return private_path, public_path


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        UserError: it is missing, is no ed25519 key, or others than its owner can read it.
    """
    content = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(
            f"{path} can be read or changed by other users; whoever has it can sign results: "
            f"chmod 600 {path}, and make a new key if somebody may have read it"
        )
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is no private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path} is a private key of another kind than {ALGORITHM}")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        UserError: it is missing, or is no public ed25519 key.
    """
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is no public key: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"{path} is a public key of another kind than {ALGORITHM}")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST_KEY_BYTES:
        raise UserError(f"{path} is too large for a key")
    return content


def key_name(key: Ed25519PublicKey) -> str:
    """The name of a public key: the first 16 digits of the sha256 of its 32 bytes."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def sign(body: Mapping[str, Any], key: Ed25519PrivateKey) -> Json:
    """The body with its signature.

    Args:
        body: plain JSON values; a field ``signature`` is replaced.
        key: the organiser's private key.

    Raises:
        UserError: the body holds what JSON cannot.
    """
    unsigned = {name: value for name, value in body.items() if name != FIELD}
    value = key.sign(CONTEXT + canonical_json(unsigned))
    signature = {
        "algorithm": ALGORITHM,
        "key": key_name(key.public_key()),
        "value": base64.b64encode(value).decode("ascii"),
    }
    return {**unsigned, FIELD: signature}


def verify(document: Mapping[str, Any], key: Ed25519PublicKey) -> Json:
    """Check a signed document.

    Returns:
        its body, without the signature.

    Raises:
        SignatureError: it is not signed, is signed by another key, or was changed.
    """
    signature = document.get(FIELD)
    if not isinstance(signature, dict):
        raise SignatureError("the document has no signature")
    if signature.get("algorithm") != ALGORITHM:
        raise SignatureError(f"the document is signed by another algorithm than {ALGORITHM}")
    if signature.get("key") != key_name(key):
        raise SignatureError(
            f"the document is signed with another key than {key_name(key)}; get the public key of "
            "the challenge that made it"
        )
    body = {name: value for name, value in document.items() if name != FIELD}
    try:
        value = base64.b64decode(str(signature.get("value")), validate=True)
        key.verify(value, CONTEXT + canonical_json(body))
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureError(
            "the signature does not fit: the document was changed after it was signed"
        ) from None
    return body


def read_signed(path: Path, key: Ed25519PublicKey) -> Json:
    """Read a signed file; ``verify`` says what it returns and raises.

    Raises:
        UserError: the file is missing, is no JSON object, or has a key twice.
    """
    try:
        if path.stat().st_size > MOST_DOCUMENT_BYTES:
            raise UserError(f"{path} is too large for a result")
        document = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read: {reason}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path} is not a JSON object")
    try:
        return verify(document, key)
    except SignatureError as error:
        raise SignatureError(f"{path}: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> Json:
    """An object without a key that stands twice: another program would read the other value."""
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("an object has the same key twice")
    return body
