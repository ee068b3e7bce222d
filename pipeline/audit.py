"""Where the audit log is, and what the metadata store knows of it."""

from pathlib import Path
from urllib.parse import unquote

from ml_metadata.metadata_store import MetadataStore

from pipeline.settings import Settings
from schema.audit import APPROVE, AUDIT_FILE, REJECT, AuditLog, receipt_hash, receipt_log
from schema.errors import SettingsError

_PROMOTION = "agnews.Promotion"
_DECISION = "AgNewsApprovalDecision"
_ARTIFACT_TYPES = ("PushedModel", _DECISION)
_NAMED = 5


def audit_log(settings: Settings) -> AuditLog:
    """The log that the settings name: beside what it is about, so that it outlives the metadata store.

    Raises:
        SettingsError: the serving directory is an object store, to whose files nothing can be appended.
    """
    if settings.promotion.audit_log is not None:
        return AuditLog(Path(settings.promotion.audit_log))
    if "://" in settings.pusher.destination:
        raise SettingsError(
            f"pusher.destination {settings.pusher.destination} is an object store, where the audit log cannot be "
            "appended to: set promotion.audit_log to a file on a disk that is kept"
        )
    return AuditLog(Path(settings.pusher.destination) / AUDIT_FILE)


def recorded_lines(store: MetadataStore, log: AuditLog) -> dict[str, str]:
    """SHA-256 of the log's lines whose receipts the metadata store holds, each with where."""
    hashes = {receipt_hash(receipt, log): f"{source} of the metadata store" for source, receipt in _receipts(store)}
    return {digest: source for digest, source in hashes.items() if digest is not None}


def other_logs(store: MetadataStore, log: AuditLog) -> list[str]:
    """The records in the metadata store that this log cannot vouch for: their receipts name another; a line a log.

    A log that was moved leaves such records, and so does who forges one.
    """
    found: dict[str, list[str]] = {}
    for source, receipt in _receipts(store):
        if receipt_hash(receipt, log) is None:
            found.setdefault(receipt_log(receipt), []).append(source)
    return [
        f"not checked: {len(sources)} of the metadata store's records, whose receipts name the log {place!r} "
        f"({', '.join(sources[:_NAMED])}{', …' if len(sources) > _NAMED else ''}): check that one as well, with --set "
        "promotion.audit_log=…, or find out who wrote them"
        for place, sources in found.items()
    ]


def unfounded_decisions(store: MetadataStore, log: AuditLog) -> list[str]:
    """The decisions in the metadata store that no entry of the log is behind, a line each: somebody else wrote them.

    Those whose receipts name another log are left out: see `other_logs`.
    """
    entries = {line.hash: line.entry for line in log.lines()}
    found = []
    for artifact in store.get_artifacts_by_type(_DECISION):
        noted = {name: value.string_value for name, value in artifact.custom_properties.items()}
        digest = receipt_hash(receipt, log) if (receipt := noted.get("audit")) else ""
        if digest is None:
            continue
        entry = entries.get(digest)
        action = APPROVE if artifact.custom_properties["approved"].int_value else REJECT
        decided = (action, noted.get("fingerprint"), unquote(noted.get("who", "")))
        if entry is None or (entry.action, entry.fingerprint, entry.by) != decided:
            found.append(
                f"artifact {artifact.id} of the metadata store: no entry says that {decided[2]} did {action} it"
            )
    return found


def _receipts(store: MetadataStore) -> list[tuple[str, str]]:
    """Each with the record that holds it."""
    receipts = [
        (f"artifact {artifact.id} ({name})", artifact.custom_properties["audit"].string_value)
        for name in _ARTIFACT_TYPES
        for artifact in store.get_artifacts_by_type(name)
    ]
    receipts += [
        (f"execution {execution.id}", execution.custom_properties["audit"].string_value)
        for execution in store.get_executions_by_type(_PROMOTION)
    ]
    return [(source, receipt) for source, receipt in receipts if receipt]
