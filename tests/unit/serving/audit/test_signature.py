"""Tests the signatures of pushes, and the messages about unusable keys."""

import dataclasses

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from schema.errors import SettingsError
from serving.audit import Entry
from serving.audit.signature import read_public_key, read_signing_key, sign, signature_flaw

FILES = {"saved_model.pb": "1" * 64, "variables/v\udcff": "2" * 64}


@pytest.fixture
def signed(key_files):
    """Returns the entry of a signed push, and the public key."""
    private, public = key_files()
    entry = Entry("push", "agnews", 3, details={"files": FILES})
    details = {"files": dict(reversed(FILES.items())), "signature": sign(read_signing_key(private), entry)}
    return Entry("push", "agnews", 3, details=details), read_public_key(public)


def test_a_signature_is_good_in_whatever_order_the_files_are(signed):
    entry, key = signed
    assert signature_flaw(key, entry) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 4},
        {"model": "other"},
        {"details": {"files": FILES | {"saved_model.pb": "3" * 64}}},
        {"details": {"files": {}}},
        {"details": {"signature": "AAAA"}},
        {"details": {"signature": "no Base64"}},
    ],
    ids=str,
)
def test_a_signature_over_anything_else_is_refused(signed, changes):
    entry, key = signed
    changed = dataclasses.replace(entry, **changes | {"details": entry.details | changes.get("details", {})})
    assert "the signature is not this key's" in signature_flaw(key, changed)


@pytest.mark.parametrize("signature", [None, 7, ["x"]])
def test_without_a_signature_a_push_is_not_signed(signed, signature):
    entry, key = signed
    changed = dataclasses.replace(entry, details={"files": FILES, "signature": signature})
    assert signature_flaw(key, changed) == "not signed"


@pytest.mark.parametrize("files", [None, 7, "saved_model.pb", [["saved_model.pb", "1"]]])
def test_a_signature_over_no_files_is_none(signed, files):
    entry, key = signed
    changed = dataclasses.replace(entry, details={**entry.details, "files": files})
    assert signature_flaw(key, changed) == "not signed"


def pem(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pem(ec.generate_private_key(ec.SECP256R1())), "it holds one of another kind"),
        (pem(ed25519.Ed25519PrivateKey.generate(), b"secret"), "is protected by a password"),
        (b"-----BEGIN PRIVATE KEY-----\nbroken\n-----END PRIVATE KEY-----\n", "openssl genpkey -algorithm ed25519"),
        (b"", "openssl genpkey -algorithm ed25519"),
    ],
    ids=["another kind", "a password", "broken", "empty"],
)
def test_a_private_key_that_cannot_be_used_is_named_and_not_shown(tmp_path, content, message):
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(SettingsError, match=message) as raised:
        read_signing_key(tmp_path / "key.pem")
    assert str(tmp_path / "key.pem") in str(raised.value)
    assert not any(line and line in str(raised.value) for line in content.decode().splitlines())


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for read in (read_signing_key, read_public_key):
        with pytest.raises(SettingsError, match="gone: No such file or directory; name a key file"):
            read(tmp_path / "gone")


def test_a_private_key_or_another_kind_is_no_public_key(tmp_path, key_files):
    private, _ = key_files()
    with pytest.raises(SettingsError, match="holds no public Ed25519 key"):
        read_public_key(private)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "ec.pub").write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(SettingsError, match="of another kind; models are signed with Ed25519"):
        read_public_key(tmp_path / "ec.pub")
