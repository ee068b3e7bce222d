"""Finds the audit log, and compares it with the metadata store and with the model cards that people decided on."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.graph import pipeline_artifacts
from pipeline.settings import Settings
from schema.errors import AuditError, SettingsError
from schema.files import FOR_ALL, FOR_GROUP, FOR_OWNER
from schema.metadata import (
    APPROVAL_DECISION,
    APPROVAL_REQUEST,
    PIPELINE_CONTEXT,
    PROMOTION_EXECUTION,
    PUSHED_MODEL,
    decode_text,
)
from schema.paths import is_remote
from schema.wording import amount
from serving.audit import (
    APPROVALS,
    APPROVE,
    AUDIT_FILE,
    DECIDED,
    PROOF,
    PUSH,
    REJECT,
    SERVED_CHANGES,
    SIGNATURE,
    AuditLog,
    Entry,
    Line,
    differences,
    manifest,
    person,
    receipt_digest,
    receipt_hash,
    receipt_log,
)
from serving.audit.openssf import SigningFiles

_NAMED = 5
_CARD = "card"


def audit_log(settings: Settings) -> AuditLog:
    """Returns the log that the settings name, by default in the serving directory, so that it outlives the store.

    Raises:
        SettingsError: the serving directory is in an object store, whose files cannot be appended to.
    """
    mode = audit_log_mode(settings)
    if settings.promotion.audit_log is not None:
        return AuditLog(Path(settings.promotion.audit_log), mode)
    if is_remote(settings.pusher.destination):
        raise SettingsError(
            f"pusher.destination {settings.pusher.destination} is in an object store, where the audit log cannot be "
            "appended to. Set promotion.audit_log to a file on a disk that is kept"
        )
    return AuditLog(Path(settings.pusher.destination) / AUDIT_FILE, mode)


def audit_log_mode(settings: Settings) -> int:
    """Returns the mode of a new audit log."""
    return {"owner": FOR_OWNER, "group": FOR_GROUP, "everyone": FOR_ALL}[settings.promotion.audit_log_readers]


def openssf_files(settings: Settings) -> SigningFiles | None:
    """Returns the files that sign each version in the OpenSSF format, or None if no key is set."""
    promotion = settings.promotion
    if promotion.openssf_key_file is None:
        return None
    return SigningFiles(promotion.openssf_key_file, promotion.openssf_certificate_file, promotion.openssf_chain_file)


def recorded_lines(store: MetadataStore, log: AuditLog) -> dict[str, str]:
    """Returns the SHA-256 of the log's lines whose receipts the metadata store holds, each with its record."""
    hashes = {receipt_hash(receipt, log): f"{source} of the metadata store" for source, receipt in _receipts(store)}
    return {digest: source for digest, source in hashes.items() if digest is not None}


def other_logs(store: MetadataStore, log: AuditLog) -> list[str]:
    """Finds records in the metadata store whose receipts name another log, so that this log cannot confirm them.

    A log that was moved leaves such records, and so does somebody who forges them.

    Returns:
        One message per log.
    """
    found: dict[str, list[str]] = {}
    for source, receipt in _receipts(store):
        if receipt_hash(receipt, log) is None:
            found.setdefault(receipt_log(receipt), []).append(source)
    return [
        f"not checked: {amount(len(sources), 'record')} of the metadata store with receipts of the log {path!r} "
        f"({', '.join(sources[:_NAMED])}{', …' if len(sources) > _NAMED else ''}). Check that log as well with --set "
        "promotion.audit_log=…, or find out who wrote these records"
        for path, sources in found.items()
    ]


def unfounded_decisions(store: MetadataStore, log: AuditLog) -> list[str]:
    """Finds decisions in the metadata store that are not in the log, so that somebody else wrote them.

    Decisions whose receipts name another log are left out: see `other_logs`.

    Returns:
        One message per decision.
    """
    entries = {line.hash: line.entry for line in log.lines()}
    found = []
    for artifact in store.get_artifacts_by_type(APPROVAL_DECISION):
        noted = {name: value.string_value for name, value in artifact.custom_properties.items()}
        digest = receipt_hash(receipt, log) if (receipt := noted.get("audit")) else ""
        if digest is None:
            continue
        entry = entries.get(digest)
        if entry is None or not _is_same_decision(entry, artifact):
            did = f"{decode_text(noted.get('who', ''))} did {_action(artifact)}"
            found.append(f"artifact {artifact.id} of the metadata store: no entry of the log says that {did} it then")
    return found


def unfounded_entries(store: MetadataStore, log: AuditLog) -> list[str]:
    """Finds pushes, promotions, rollbacks and deletions in the log that the metadata store has no record of.

    Entries before the first one that this store knows are left out: an earlier store had them. A command that is killed
    between its entry and its record leaves an entry that the next command repeats.

    Returns:
        One message per entry.
    """
    known = {receipt_digest(receipt) for _, receipt in _receipts(store)}
    lines = log.lines()
    first = next((line.number for line in lines if line.hash in known), len(lines) + 1)
    changes = [line for line in lines if line.entry and line.entry.action in SERVED_CHANGES]
    recorded = {_what_changed(line.entry) for line in changes if line.entry and line.hash in known}
    return [
        f"line {line.number}: the metadata store has no record of this {line.entry.action} of version "
        f"{line.entry.version}: a command is about to record it or was killed, which the same command repeats, or "
        "somebody else wrote the line"
        for line in changes
        if line.entry and line.number > first and _what_changed(line.entry) not in recorded
    ]


def _what_changed(entry: Entry) -> str:
    """Returns the content of an entry that its repetition has as well."""
    details = {name: value for name, value in entry.details.items() if name not in (SIGNATURE, "detail")}
    return json.dumps(
        [entry.action, entry.model, entry.version, entry.fingerprint, entry.by, entry.outcome, details], sort_keys=True
    )


def unfounded_pushes(store: MetadataStore, log: AuditLog) -> list[str]:
    """Finds pushes that differ from their record in the metadata store, or name an approval that nobody gave.

    Returns:
        One message per push.
    """
    lines = log.lines()
    pushed = {
        receipt_digest(artifact.custom_properties["audit"].string_value): artifact
        for artifact in store.get_artifacts_by_type(PUSHED_MODEL)
    }
    approvals = {line.hash: line for line in lines if line.entry and line.entry.action == APPROVE}
    found = []
    for line in lines:
        if line.entry is None or line.entry.action != PUSH:
            continue
        what = f"line {line.number}: the push of version {line.entry.version}"
        if (artifact := pushed.get(line.hash)) is not None:
            noted = {name: value.string_value for name, value in artifact.custom_properties.items()}
            if (noted.get("fingerprint"), noted.get("pushed_version")) != (
                line.entry.fingerprint,
                str(line.entry.version),
            ):
                found.append(f"{what} is of another model than artifact {artifact.id} of the metadata store")
        named = line.entry.details.get(APPROVALS, [])
        for approval in named if isinstance(named, list) else [named]:
            decision = approvals.get(str(approval.get("entry"))) if isinstance(approval, dict) else None
            if decision is None or decision.number > line.number:
                found.append(f"{what} names an approval that is not in the log before it")
            elif decision.entry and (decision.entry.fingerprint, decision.entry.by) != (
                line.entry.fingerprint,
                approval.get("by"),
            ):
                found.append(
                    f"{what} names the approval in line {decision.number}, which is of another model or person"
                )
    return found


def uncounted_decisions(store: MetadataStore, log: AuditLog) -> list[str]:
    """Finds decisions in the log that do not count, because the metadata store does not have them as they were made.

    The check leaves out decisions on models that no pipeline in this store has a request for, which belong to another
    store, and those of version 0.1.0 on Kubeflow, which only the log has. A decision that the same person replaced
    later does not count anyway.

    Returns:
        One message per decision.
    """
    pipelines = store.get_contexts_by_type(PIPELINE_CONTEXT)
    return [message for pipeline in pipelines for message in _find_uncounted(store, pipeline.name, log)]


def _find_uncounted(store: MetadataStore, pipeline: str, log: AuditLog) -> list[str]:
    requests = pipeline_artifacts(store, pipeline, APPROVAL_REQUEST)
    requested = {request.custom_properties["fingerprint"].string_value for request in requests}
    decided = {line.hash: line for line in log.lines() if line.entry and _belongs_in_store(line.entry, requested)}
    ids = {}
    for artifact in pipeline_artifacts(store, pipeline, APPROVAL_DECISION):
        # The name of the log does not matter: a log that was moved has the same lines.
        line = decided.get(receipt_digest(artifact.custom_properties["audit"].string_value))
        if line and line.entry and _is_same_decision(line.entry, artifact):
            ids[line.hash] = artifact.id
    found, later = [], dict[tuple[str, str], int]()
    for line in reversed(decided.values()):
        assert line.entry
        entry = line.entry
        key = (person(entry.by), entry.fingerprint)
        what = f"line {line.number}: the decision of {entry.by} to {entry.action} model {entry.details['model_id']}"
        if line.hash not in ids and key not in later:
            found.append(f"{what} does not count: the metadata store does not have it like that; decide again")
        elif line.hash in ids and ids[line.hash] > later.setdefault(key, ids[line.hash]):
            found.append(f"{what} is in the metadata store after a later decision of the same person; decide again")
    return found[::-1]


def _belongs_in_store(entry: Entry, requested: Collection[str]) -> bool:
    """Returns whether the metadata store must have a decision; those of 0.1.0 on Kubeflow name no model id."""
    return entry.action in (APPROVE, REJECT) and entry.fingerprint in requested and "model_id" in entry.details


def _is_same_decision(entry: Entry, artifact: mlmd.Artifact) -> bool:
    noted = {name: value.string_value for name, value in artifact.custom_properties.items()}
    decided = (_action(artifact), noted.get("fingerprint"), decode_text(noted.get("who", "")))
    return (
        (entry.action, entry.fingerprint, entry.by) == decided
        and entry.details.get(PROOF, "") == noted.get(PROOF, "")
        and _is_same_time(entry, noted.get("when", ""))
    )


def _action(artifact: mlmd.Artifact) -> str:
    return APPROVE if artifact.custom_properties["approved"].int_value else REJECT


def _is_same_time(entry: Entry, when: str) -> bool:
    if DECIDED in entry.details:
        return entry.details[DECIDED] == when
    # Older entries have only the time at which they were written, after the model's files were read and the log locked.
    try:
        return abs(datetime.fromisoformat(entry.when) - datetime.fromisoformat(when)) < timedelta(hours=1)
    except (ValueError, TypeError):
        return False


def _receipts(store: MetadataStore) -> list[tuple[str, str]]:
    """Returns the receipts in the metadata store, each after a description of the record that holds it."""
    receipts = [
        (f"artifact {artifact.id} ({name})", artifact.custom_properties["audit"].string_value)
        for name in (PUSHED_MODEL, APPROVAL_DECISION)
        for artifact in store.get_artifacts_by_type(name)
    ]
    receipts += [
        (f"execution {execution.id}", execution.custom_properties["audit"].string_value)
        for execution in store.get_executions_by_type(PROMOTION_EXECUTION)
    ]
    return [(source, receipt) for source, receipt in receipts if receipt]


@dataclass(frozen=True)
class CardSnapshot:
    """A model card at the time of a decision.

    Attributes:
        directory: path or URI of its directory.
        files: SHA-256 of each of its files.
    """

    directory: str
    files: Mapping[str, str]


def card_snapshot(directory: str) -> dict[str, Any]:
    """Returns what the log entry of a decision says about the card; empty if there is no card.

    Args:
        directory: path or URI of the card's directory, empty if there is none.
    """
    files = card_files(directory) if directory else {}
    return {_CARD: {"uri": directory, "files": files}} if files else {}


def card_of_decision(entry: Entry) -> CardSnapshot | None:
    """Returns the card that an approval or rejection was based on; None if there was none, or for other entries."""
    noted = entry.details.get(_CARD)
    if entry.action not in (APPROVE, REJECT) or not isinstance(noted, dict):
        return None
    directory, files = noted.get("uri"), noted.get("files")
    return CardSnapshot(directory, files) if isinstance(directory, str) and isinstance(files, dict) else None


def card_files(directory: str) -> dict[str, str]:
    """Returns the SHA-256 of each file of a card as it is now; empty if the card no longer exists.

    Args:
        directory: path or URI of the card's directory.

    Raises:
        AuditError: the card exists and cannot be read.
    """
    if is_remote(directory):
        # TFX takes seconds to import.
        from tfx.dsl.io import fileio

        from components.manifest import files_of

        return files_of(directory) if fileio.exists(directory) else {}
    try:
        return manifest(Path(directory)) if Path(directory).is_dir() else {}
    except OSError as error:
        raise AuditError(f"{error.filename}: {error.strerror}; the model card there must be readable") from error


def find_changed_cards(lines: Iterable[Line]) -> tuple[list[str], list[str]]:
    """Finds cards that are no longer as they were when people decided on them.

    Returns:
        One message per card whose files differ now, and one per card that no longer exists.
    """
    changed, gone = [], []
    for line in lines:
        card = card_of_decision(line.entry) if line.entry else None
        if card is None or line.entry is None:
            continue
        what = f"line {line.number}: the model card that {line.entry.by} decided on, {card.directory},"
        found = card_files(card.directory)
        if not found:
            gone.append(f"{what} no longer exists")
        elif different := differences(card.files, found):
            changed.append(f"{what} has changed ({', '.join(different)})")
    return changed, gone
