"""Manages a serving directory: its versions, its model config file, and one change at a time.

A change takes three steps: store a RUNNING record, change the files, close the record. A command that was killed in
between leaves a RUNNING record. The next command finds it and, depending on the content of the directory, either closes
it or restores the previous state.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import filelock
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ml_metadata.metadata_store import MetadataStore

from schema.errors import AuditError
from schema.files import file_lock
from serving.audit import AUDIT_FILE, PROOF, PRUNE, AuditLog, Entry
from serving.promotion import config
from serving.promotion.config import CONFIG_FILE, Served
from serving.promotion.errors import PromotionError
from serving.promotion.record import CANCELED, COMPLETE, FAILED, RUNNING, Record, Records
from serving.verify import check_version
from serving.versions import PushedVersion, loadable, pushed_versions

# Servers ignore names that are not numbers.
PRUNED = ".pruned-"
_LOCK = ".promotion.lock"
_LOCK_SECONDS = 10.0


class RunningServer(Protocol):
    """The interface of a server that a deployment uses; `Server` implements it."""

    def states(self, model_name: str) -> Mapping: ...

    def reload(self, new_config) -> None: ...

    def wait_until_available(self, model_name: str, version: int) -> None: ...

    def wait_until_gone(self, model_name: str, versions: Collection[int]) -> None: ...


class Deployment:
    """A model's version directory with the model config file next to it.

    Args:
        destination: the serving directory, which contains `models.config` and one directory per model.
        model_name: name of the model.
        store: the metadata store that keeps the records.
        server: a running server to notify of each change; without one, servers find changes when they poll the file.
        poll_seconds: time within which polling servers start to load the versions in the file.
        pause: waits for a number of seconds.
        audit: log that records each change; None means audit.jsonl in the serving directory.
        sign: signs the entries in that log; None leaves them unsigned.
        public_key: key that must have signed the push of a version before it is promoted; None requires no signature.
    """

    def __init__(
        self,
        destination: Path,
        model_name: str,
        store: MetadataStore,
        *,
        server: RunningServer | None = None,
        poll_seconds: float = 15.0,
        pause: Callable[[float], None] = time.sleep,
        audit: AuditLog | None = None,
        sign: Callable[[Entry], str] | None = None,
        public_key: Ed25519PublicKey | None = None,
    ):
        self.directory = destination / model_name
        self.config_path = destination / CONFIG_FILE
        self.model_name = model_name
        self.records = Records(store, self.directory)
        self.audit = audit or AuditLog(destination / AUDIT_FILE)
        self.sign = sign
        self.public_key = public_key
        self.server = server
        self.poll_seconds = poll_seconds
        self.pause = pause

    def versions(self) -> dict[int, PushedVersion]:
        """Returns the pushed versions by number, lowest first."""
        return pushed_versions(self.directory)

    def dated_versions(self) -> dict[int, PushedVersion]:
        """Returns the pushed versions with the times of their pushes in the audit log, where it has them."""
        try:
            times = self.audit.push_times(self.model_name)
        except AuditError:  # A list does not need the log, and the commands that check it report the error.
            times = {}
        return {
            number: replace(version, pushed_at=times[number].timestamp(), is_push_logged=True)
            if number in times
            else version
            for number, version in self.versions().items()
        }

    def served(self) -> Served:
        """Returns the content of models.config; without the file, a server's default, the highest loadable version."""
        parsed = config.parse(config.read_text(self.config_path), self.config_path)
        return config.served_of(parsed, self.model_name, loadable(self.versions()))

    def other_place(self) -> str:
        """Returns a note if models.config names another path than the model's directory, otherwise an empty text."""
        parsed = config.parse(config.read_text(self.config_path), self.config_path)
        return config.other_places(parsed, self.config_path.parent).get(self.model_name, "")

    def loaded(self) -> Served:
        """Returns what the server actually serves; without a server, what models.config says, or nothing without it.

        A server that was started without the file may be running, but it would not notice a change of it.
        """
        if self.server is None:
            return self.served() if self.config_path.exists() else Served(frozenset(), {})
        states = self.server.states(self.model_name)
        available = frozenset(number for number, state in states.items() if state.name == "AVAILABLE")
        return Served(available, self.served().labels)

    def require_as_pushed(self, version: PushedVersion) -> None:
        """Compares the files of a version with the entry of its push in the audit log.

        Raises:
            PromotionError: they differ, nobody is recorded to have pushed the version, or the push is not signed with
                the public key.
        """
        if findings := check_version(version.path, self.audit, self.public_key):
            raise PromotionError(
                f"{version.path} is not what was pushed: {'; '.join(findings)}. Nothing was changed; push the model "
                "again, and find out who changed the files: agnews versions verify"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks out other commands, and completes or undoes the change of a killed one.

        Raises:
            PromotionError: the directory does not exist or is not writable, or another command holds the lock.
            AuditError: the audit log cannot be written.
        """
        if not self.directory.is_dir():
            raise PromotionError(
                f"{self.directory}: no model has been pushed there; run agnews run, or set pusher.destination"
            )
        try:
            lock = file_lock(self.config_path.with_name(_LOCK), _LOCK_SECONDS)
            lock.acquire()
        except filelock.Timeout:
            raise PromotionError(f"another command is changing {self.config_path}; wait for it, then repeat") from None
        except OSError as error:
            raise PromotionError(f"{self.config_path.parent}: {error.strerror}; make it writable and repeat") from error
        try:
            self.audit.require_writable()
            self._finish_interrupted()
            yield
        finally:
            lock.release()

    def apply(self, text: str, version: int) -> None:
        """Writes a new text to models.config and, with a server, waits until it serves a version."""
        config.replace(self.config_path, text)
        if self.server:
            self.server.reload(config.parse(text, self.config_path))
            # Wait only for this version: another one that fails to load must not prevent leaving it.
            self.server.wait_until_available(self.model_name, version)

    def restore(self, former: str) -> None:
        """Restores the previous text of models.config."""
        config.replace(self.config_path, former)
        if self.server and former:
            # The first error is the one to report; a server that polls the file recovers by itself.
            with suppress(PromotionError):
                self.server.reload(config.parse(former, self.config_path))

    def close(self, record: Record, state: str, detail: str = "") -> None:
        """Enters a change's outcome in the audit log, then closes its record; a kill in between repeats the entry."""
        version = record.from_version if record.to_version is None else record.to_version
        pushed = self.audit.last_push(self.model_name, version)
        details = {"label": record.label, "from": record.from_version, "record": record.id, "detail": detail}
        details |= {PROOF: record.proof} if record.proof else {}
        entry = Entry(
            record.action,
            model=self.model_name,
            version=version,
            fingerprint=pushed.fingerprint if pushed else "",
            by=record.who,
            why=record.why,
            outcome=state,
            details=details,
        )
        self.records.close(record, state, detail, self.audit.append(entry, self.sign))

    def _finish_interrupted(self) -> None:
        for leftover in self.directory.glob(f"{PRUNED}*"):
            shutil.rmtree(leftover)
        for record in self.records.all():
            if record.state == RUNNING and record.action == PRUNE:
                gone = record.from_version not in self.versions()
                self.close(record, COMPLETE if gone else CANCELED, "closed by the next command")
            elif record.state == RUNNING:
                self._end_killed_change(record)

    def _end_killed_change(self, record: Record) -> None:
        current = config.read_text(self.config_path)
        if current == record.texts[-1]:
            self.close(record, COMPLETE, "closed by the next command")
        elif current in record.texts:
            self.restore(record.texts[0])
            self.close(record, CANCELED, "killed before it was done, taken back by the next command")
        else:
            self.close(record, FAILED, f"killed, and {CONFIG_FILE} was changed by another hand since")
