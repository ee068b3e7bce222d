"""Signs pushed models with Ed25519 (RFC 8032) over the model, the version and the SHA-256 of every file.

The audit log's chain reveals a changed line, but anyone who can write both the log and the files can recompute them. A
signature requires a key that such a person does not have.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schema.errors import SettingsError
from serving.audit.log import Entry

SIGNATURE = "signature"
"""Name of the signature among the details of a push's entry."""


def read_signing_key(file: Path) -> Ed25519PrivateKey:
    """Reads a private key in PEM without a password, since nobody can type one during a push.

    Raises:
        SettingsError: the file cannot be read or holds something else; the message never shows its content.
    """
    try:
        key = serialization.load_pem_private_key(_content(file), password=None)
    except TypeError as error:
        raise SettingsError(
            f"{file}: the key is protected by a password, and nobody is asked for one when a model is pushed; take it "
            f"off (openssl pkey -in {file} -out FILE) and let nobody else read the file"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_key(file, "private", "openssl genpkey -algorithm ed25519 -out FILE makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(file, "private", "it holds one of another kind; openssl genpkey -algorithm ed25519 makes one")
    return key


def read_public_key(file: Path) -> Ed25519PublicKey:
    """Reads the signer's public key in PEM.

    Raises:
        SettingsError: the file cannot be read or holds something else.
    """
    try:
        key = serialization.load_pem_public_key(_content(file))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_key(file, "public", "openssl pkey -in PRIVATE -pubout makes it of the private one") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _not_a_key(file, "public", "it holds one of another kind; models are signed with Ed25519")
    return key


def sign(key: Ed25519PrivateKey, model: str, version: int, files: Mapping[str, str]) -> str:
    """Returns the signature of a pushed version, in Base64.

    Args:
        key: private key of the signer.
        model: name of the model.
        version: number of the version.
        files: SHA-256 of each file by its path.
    """
    return base64.b64encode(key.sign(_signed(model, version, files))).decode()


def signature_flaw(key: Ed25519PublicKey, push: Entry) -> str | None:
    """Returns the problem with the signature in a push's entry; None if the key signed the content of the entry."""
    signature, files = push.details.get(SIGNATURE), push.details.get("files")
    if not isinstance(signature, str) or not isinstance(files, dict):
        return "not signed"
    try:
        key.verify(base64.b64decode(signature, validate=True), _signed(push.model, push.version, files))
    except (InvalidSignature, ValueError):
        return "the signature is not this key's, or another version's or other files'"
    return None


def _signed(model: str, version: int | None, files: Mapping[str, str]) -> bytes:
    """Returns the bytes to sign, which are the same for the same content: sorted JSON without spaces, ASCII."""
    content = {"action": "push", "files": dict(files), "model": model, "version": version}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}; name a key file that can be read") from error


def _not_a_key(file: Path, kind: str, help_: str) -> SettingsError:
    return SettingsError(f"{file} holds no {kind} Ed25519 key in PEM: {help_}")
