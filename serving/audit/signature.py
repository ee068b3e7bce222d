"""Signs entries of the audit log with Ed25519 (RFC 8032).

The signature of a push covers the model, the version and the SHA-256 of every file; that of any other entry covers the
whole entry, with its place in the chain.

The audit log's chain reveals a changed line, but anyone who can write both the log and the files can recompute them. A
signature requires a key that such a person does not have.
"""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import dropwhile
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schema.errors import SettingsError
from schema.files import read_small_file
from serving.audit.log import PUSH, SERVED_CHANGES, SIGNATURE, Entry, Line


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


def signer(file: Path) -> Callable[[Entry], str]:
    """Returns a function that signs entries with the private key in a file.

    Raises:
        SettingsError: the file cannot be read or holds something else.
    """
    key = read_signing_key(file)
    return lambda entry: sign(key, entry)


def sign(key: Ed25519PrivateKey, entry: Entry) -> str:
    """Returns the signature of an entry, in Base64."""
    return base64.b64encode(key.sign(_signed(entry))).decode()


def signature_flaw(key: Ed25519PublicKey, entry: Entry) -> str | None:
    """Returns the problem with the signature of an entry; None if the key signed the content of the entry."""
    signature = entry.details.get(SIGNATURE)
    if not isinstance(signature, str) or (entry.action == PUSH and not isinstance(entry.details.get("files"), dict)):
        return "not signed"
    try:
        key.verify(base64.b64decode(signature, validate=True), _signed(entry))
    except (InvalidSignature, ValueError):
        return "the signature is not this key's, or another version's or other files'"
    return None


def unsigned_lines(key: Ed25519PublicKey, lines: Iterable[Line]) -> list[Line]:
    """Returns the entries after the first signed one that change what is served and that the key did not sign."""
    flaws = (
        (line, signature_flaw(key, line.entry)) for line in lines if line.entry and line.entry.action in SERVED_CHANGES
    )
    return [line for line, flaw in dropwhile(lambda checked: checked[1] is not None, flaws) if flaw is not None]


def _signed(entry: Entry) -> bytes:
    """Returns the bytes to sign, which are the same for the same content: sorted JSON without spaces, ASCII."""
    if entry.action == PUSH:
        files = dict(entry.details["files"])
        content = {"action": PUSH, "files": files, "model": entry.model, "version": entry.version}
    else:
        details = {name: value for name, value in entry.details.items() if name != SIGNATURE}
        content = asdict(entry) | {"details": details}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _content(file: Path) -> bytes:
    try:
        return read_small_file(file)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}; name a key file that can be read") from error


def _not_a_key(file: Path, kind: str, help_: str) -> SettingsError:
    return SettingsError(f"{file} holds no {kind} Ed25519 key in PEM: {help_}")
