"""Writes and reads the audit log: JSON lines, each with the SHA-256 of the line before it.

An entry is on disk when `append` returns. The lock admits one writer at a time. A writer that is killed while it writes
leaves a truncated last line. The next writer moves that piece into a separate file and records the move in an entry.
"""

import glob
import hashlib
import json
import os
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock

from schema.errors import AuditError
from schema.files import (
    FOR_GROUP,
    create_file,
    file_lock,
    flush_directory,
    make_directory,
    replace_file,
    require_regular_file,
)
from serving.audit.identity import identity

AUDIT_FILE = "audit.jsonl"
"""Name of the log in a serving directory."""
FIRST = "0" * 64
"""Hash that the first line has as its previous hash."""
RECOVER, CLEAN = "recover", "clean"
SERVED_CHANGES = PUSH, PROMOTE, ROLLBACK, PRUNE = ("push", "promote", "rollback", "prune")
"""Actions that change what is served. Their entries are signed if there is a key, and the metadata store has them."""
APPROVE, REJECT = "approve", "reject"
DECIDED = "decided"
"""Detail of an entry with the time of the decision; the entry's own time is that of the writing."""
APPROVALS = "approvals"
"""Detail of a push with the approvals that it relied on: for each the name, the time and the hash of its entry."""
SIGNATURE = "signature"
"""Detail of an entry with its signature."""
PROOF = "proof"
"""Detail of a decision with the `Proof` of the name; left out if the name is a claim."""
_LOCK_SECONDS = 30.0
_PENDING = ".pending"


class Proof(StrEnum):
    """How a person proved the name that a decision was made under."""

    NONE = ""
    TOKEN = "token"
    LOGIN = "log-in"

    def mark(self, name: str) -> str:
        """Returns the name for people to read; a name without a proof is marked as a claim."""
        return name if self else f"{name} (claimed)"


@dataclass(frozen=True)
class Entry:
    """An action, or an attempt at one.

    Attributes:
        action: push, promote, rollback, prune, request, approve, reject, clean or recover.
        model: name of the model in TensorFlow Serving.
        version: version that the action concerns; None before a version exists.
        fingerprint: fingerprint of the model's export; empty if unknown.
        by: name given with `--by`.
        why: the given reason.
        outcome: COMPLETE, FAILED or CANCELED.
        details: further values that belong to the action.
        who: identity of the process that wrote the entry; set by the log.
        when: time of writing, UTC, ISO 8601; set by the log.
        previous: SHA-256 of the line before it; set by the log.
    """

    action: str
    model: str = ""
    version: int | None = None
    fingerprint: str = ""
    by: str = ""
    why: str = ""
    outcome: str = "COMPLETE"
    details: Mapping[str, Any] = field(default_factory=dict)
    who: str = ""
    when: str = ""
    previous: str = ""

    @property
    def version_change(self) -> str:
        """The version, or "A → B" for a label that moved from version A to B; empty if the entry names none."""
        before = self.details.get("from")
        if isinstance(before, int) and before != self.version:
            return f"{before} → {self.version}"
        return "" if self.version is None else str(self.version)

    @property
    def shown_by(self) -> str:
        """The given name, marked as a claim unless it was proved or is that of the process; empty if none was given."""
        if not self.by or self.by == self.who:
            return self.by
        return proof_of(self.details.get(PROOF)).mark(self.by)


@dataclass(frozen=True)
class Line:
    """A line of the file: its number from 1, its SHA-256, and its entry; None if it holds no valid entry."""

    number: int
    hash: str
    entry: Entry | None


class AuditLog:
    """An audit log.

    Args:
        path: the file; the first entry creates it and its directory.
        mode: mode of a new file; an existing one keeps its mode.
    """

    def __init__(self, path: Path, mode: int = FOR_GROUP):
        self.path, self._mode = path.absolute(), mode

    def append(self, entry: Entry, sign: Callable[[Entry], str] | None = None) -> str:
        """Writes an entry to disk.

        Args:
            entry: the entry.
            sign: returns the signature of an entry; None leaves the entry unsigned.

        Returns:
            A receipt, "<SHA-256 of the line> <log>", ASCII without backslashes. A receipt that is stored elsewhere
            proves that a log has lost the entry.

        Raises:
            AuditError: the entry cannot be written; the log is then unchanged.
        """
        try:
            with self._locked():
                self._set_torn_aside()
                written = self._write(entry, sign)
        except OSError as error:
            raise self._unwritable(error) from error
        return f"{written} {urllib.parse.quote(str(self.path))}"

    def require_writable(self) -> None:
        """Creates the file, and acquires the writers' lock as `append` does; the lock is another file next to the log.

        Raises:
            AuditError: the log cannot be written, so the planned action could not be recorded.
            SettingsError: the identity of this process is not a valid name.
        """
        identity()
        try:
            with self._locked():
                require_regular_file(self.path)
                open(self.path, "ab").close()
        except OSError as error:
            raise self._unwritable(error) from error

    def lines(self) -> list[Line]:
        """Returns all complete lines; an empty list if there is no file.

        Raises:
            AuditError: the file cannot be read.
        """
        whole, _ = self._content()
        return list(_parse_lines(tuple(whole)))

    def torn(self) -> bytes:
        """Returns the bytes after the last complete line; empty unless a writer was killed or the file was cut off."""
        return self._content()[1]

    def last_push(self, model: str, version: int | None) -> Entry | None:
        """Returns the entry of a version's last push; None if it was never pushed."""
        pushes = [
            line.entry
            for line in self.lines()
            if line.entry and (line.entry.action, line.entry.model, line.entry.version) == (PUSH, model, version)
        ]
        return pushes[-1] if pushes else None

    def push_times(self, model: str) -> dict[int, datetime]:
        """Returns the time of the last push of each version of a model."""
        entries = [line.entry for line in self.lines() if line.entry]
        return {
            entry.version: datetime.fromisoformat(entry.when)
            for entry in entries
            if (entry.action, entry.model) == (PUSH, model) and entry.version is not None
        }

    def _content(self) -> tuple[list[bytes], bytes]:
        try:
            require_regular_file(self.path)
            *whole, rest = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], b""
        except OSError as error:
            raise AuditError(f"{self.path}: {error.strerror}; make the audit log readable") from error
        return whole, rest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self.path.parent)
        with file_lock(self.path.with_name(f".{self.path.name}.lock"), _LOCK_SECONDS):
            create_file(self.path, self._mode)
            yield

    def _write(self, entry: Entry, sign: Callable[[Entry], str] | None = None) -> str:
        whole, _ = self._content()
        # Even a damaged line is hashed as it is: `verify` reports damage, which must not prevent a roll-back.
        previous = hashlib.sha256(whole[-1]).hexdigest() if whole else FIRST
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        stamped = replace(entry, who=identity(), when=when, previous=previous)
        if sign:
            stamped = replace(stamped, details={**stamped.details, SIGNATURE: sign(stamped)})
        line = json.dumps(asdict(stamped), ensure_ascii=True).encode()
        with open(self.path, "ab", buffering=0) as file:
            end = file.tell()
            try:
                _write_all(file.fileno(), line + b"\n")
            except OSError:
                file.truncate(end)
                raise
            os.fsync(file.fileno())
        flush_directory(self.path.parent)
        return hashlib.sha256(line).hexdigest()

    def _set_torn_aside(self) -> None:
        """Moves a truncated last line to a separate file, in an order that keeps the piece and its entry if killed."""
        _, torn = self._content()
        if torn:
            digest = hashlib.sha256(torn).hexdigest()
            aside = self.path.with_name(f"{self.path.name}.torn-{digest[:16]}{_PENDING}")
            replace_file(aside, torn, self._mode)
            os.truncate(self.path, self.path.stat().st_size - len(torn))
        for pending in sorted(self.path.parent.glob(f"{glob.escape(self.path.name)}.torn-*{_PENDING}")):
            name = pending.name.removesuffix(_PENDING)
            digest = hashlib.sha256(pending.read_bytes()).hexdigest()
            why = "a writer was killed in the middle of a line; the piece was set aside"
            self._write(Entry(RECOVER, why=why, details={"file": name, "sha256": digest}))
            pending.rename(pending.with_name(name))

    def _unwritable(self, error: OSError) -> AuditError:
        reason = "another process holds it" if isinstance(error, filelock.Timeout) else error.strerror or str(error)
        return AuditError(
            f"the audit log {self.path} cannot be written: {reason}; fix that, or set promotion.audit_log to a place "
            "that can be written, and repeat"
        )


def receipt_hash(receipt: str, log: AuditLog) -> str | None:
    """Returns the SHA-256 of a receipt's line; None if the receipt belongs to another log."""
    return receipt_digest(receipt) if receipt_log(receipt) == str(log.path) else None


def receipt_digest(receipt: str) -> str:
    """Returns the SHA-256 of a receipt's line, whichever log it belongs to."""
    return receipt.partition(" ")[0]


def receipt_log(receipt: str) -> str:
    """Returns the log file that a receipt belongs to."""
    return urllib.parse.unquote(receipt.partition(" ")[2])


def proof_of(value: object) -> Proof:
    """Returns the proof that a record names; NONE if it names no known one."""
    return next((proof for proof in Proof if proof == value), Proof.NONE)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


_NAMES = {one.name for one in fields(Entry)}
_TEXTS = _NAMES - {"version", "details"}


@lru_cache(maxsize=1)
def _parse_lines(whole: tuple[bytes, ...]) -> tuple[Line, ...]:
    """Parses the lines of a log; a command that checks it in several ways parses the same content once."""
    return tuple(Line(number, hashlib.sha256(raw).hexdigest(), _parse(raw)) for number, raw in enumerate(whole, 1))


def _parse(raw: bytes) -> Entry | None:
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or values.keys() != _NAMES or not isinstance(values["details"], dict):
        return None
    if not all(isinstance(values[name], str) for name in _TEXTS) or not isinstance(values["version"], int | None):
        return None
    return Entry(**values) if _is_moment(values["when"]) else None


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
