"""Results are signed; each change after that, and each other key, is found."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from evaluator.challenges import signing
from evaluator.errors import UserError

RESULT = {
    "submission": "s-0001",
    "score": 0.1 + 0.2,
    "team": "Überlingen",
    "counts": [1, 2, {"deep": None}],
    "passed": True,
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return signing.create_keys(tmp_path_factory.mktemp("keys") / "new")


@pytest.fixture(scope="module")
def private(keys):
    return signing.load_private_key(keys[0])


@pytest.fixture(scope="module")
def public(keys):
    return signing.load_public_key(keys[1])


def test_a_result_is_verified_with_the_public_key_alone(tmp_path, private, public):
    document = signing.sign(RESULT, private)
    assert signing.verify(document, public) == RESULT
    # a file may be written in another order and with spaces
    path = tmp_path / "result.json"
    path.write_text(json.dumps(dict(reversed(document.items())), indent=3))
    assert signing.read_signed(path, public) == RESULT
    assert signing.sign(document, private) == document


def leaves(value, path=()):
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in pairs:
            yield from leaves(entry, (*path, key))
    else:
        yield path


def test_each_changed_value_is_found(private, public):
    document = signing.sign(RESULT, private)
    for path in leaves(document):
        changed = copy.deepcopy(document)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = "1" if place[path[-1]] != "1" else "2"
        with pytest.raises(signing.SignatureError):
            signing.verify(changed, public)


def test_added_removed_and_renamed_fields_are_found(private, public):
    document = signing.sign(RESULT, private)
    without = {key: value for key, value in document.items() if key != "team"}
    renamed = {**without, "Team": document["team"]}
    for changed in (document | {"rank": 1}, without, renamed, RESULT, {}):
        with pytest.raises(signing.SignatureError):
            signing.verify(changed, public)


def test_another_key_and_another_context_do_not_verify(tmp_path, private, public):
    other = signing.load_private_key(signing.create_keys(tmp_path)[0])
    document = signing.sign(RESULT, other)
    with pytest.raises(signing.SignatureError, match="another key"):
        signing.verify(document, public)
    document["signature"]["key"] = signing.key_name(public)
    with pytest.raises(signing.SignatureError, match="was changed"):
        signing.verify(document, public)
    value = private.sign(signing.canonical_json(RESULT))  # without the context
    document["signature"]["value"] = base64.b64encode(value).decode()
    with pytest.raises(signing.SignatureError, match="was changed"):
        signing.verify(document, public)


def test_the_signature_is_that_of_rfc_8032():
    """Test 2 of RFC 8032, section 7.1, through the library that signs here."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert key.sign(b"\x72").hex() == expected
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
        bytes.fromhex(expected), b"\x72"
    )
    assert key.public_key().public_bytes_raw().hex() == public


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(body=st.dictionaries(st.text("abc", min_size=1), JSON_VALUES, max_size=4))
def test_a_document_survives_its_file(body, private, public):
    document = signing.sign(body, private)
    text = json.dumps(document, indent=1)
    assert signing.verify(json.loads(text), public) == body


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, "\ud800", {1}])
def test_what_json_cannot_hold_is_not_signed(private, value):
    with pytest.raises(UserError, match="cannot be signed"):
        signing.sign({"a": value}, private)


def test_keys_are_private_and_never_replaced(tmp_path, keys):
    assert keys[0].stat().st_mode & 0o777 == 0o600
    content = keys[0].read_bytes()
    with pytest.raises(UserError, match="is not replaced"):
        signing.create_keys(keys[0].parent)
    assert keys[0].read_bytes() == content
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(UserError, match="chmod 600"):
            signing.load_private_key(path)


def test_files_that_are_no_keys_or_results_are_named(tmp_path, keys, public):
    bad = tmp_path / "bad"
    bad.write_bytes(b"x" * 20_000)
    bad.chmod(0o600)
    for load in (signing.load_private_key, signing.load_public_key):
        with pytest.raises(UserError, match="too large"):
            load(bad)
        with pytest.raises(UserError, match="No such file"):
            load(tmp_path / "none")
    bad.write_bytes(b"x")
    with pytest.raises(UserError, match="no private key"):
        signing.load_private_key(bad)
    with pytest.raises(UserError, match="no public key"):
        signing.load_public_key(keys[0])
    for text in ("[]", "{", '{"a": 1, "a": 2}', "[" * 10**5):
        bad.write_text(text)
        with pytest.raises(UserError, match="bad"):
            signing.read_signed(bad, public)
    with pytest.raises(UserError, match="none"):
        signing.read_signed(tmp_path / "none", public)
