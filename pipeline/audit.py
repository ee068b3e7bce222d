"""Where the audit log is, and what the metadata store knows of it."""

from pathlib import Path
from urllib.parse import unquote

from ml_metadata.metadata_store import MetadataStore

from pipeline.settings import Settings
from schema.audit import AUDIT_FILE, AuditLog, receipt_hash
from schema.errors import SettingsError

_PROMOTION = "agnews.Promotion"
_DECISION = "AgNewsApprovalDecision"
_ARTIFACT_TYPES = ("PushedModel", _DECISION)


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
    receipts = [
        (f"artifact {artifact.id} ({name}) of the metadata store", artifact.custom_properties["audit"].string_value)
        for name in _ARTIFACT_TYPES
        for artifact in store.get_artifacts_by_type(name)
    ]
    receipts += [
        (f"execution {execution.id} of the metadata store", execution.custom_properties["audit"].string_value)
        for execution in store.get_executions_by_type(_PROMOTION)
    ]
    hashes = {receipt_hash(receipt, log): source for source, receipt in receipts if receipt}
    return {digest: source for digest, source in hashes.items() if digest is not None}


def unfounded_decisions(store: MetadataStore, log: AuditLog) -> list[str]:
    """The decisions in the metadata store that no entry of the log is behind, a line each: somebody else wrote them.

    Those whose receipts name another log are left out.
    """
    entries = {line.hash: line.entry for line in log.lines()}
    found = []
    for artifact in store.get_artifacts_by_type(_DECISION):
        noted = {name: value.string_value for name, value in artifact.custom_properties.items()}
        digest = receipt_hash(receipt, log) if (receipt := noted.get("audit")) else ""
        if digest is None:
            continue
        entry = entries.get(digest)
        action = "approve" if artifact.custom_properties["approved"].int_value else "reject"
        decided = (action, noted.get("fingerprint"), unquote(noted.get("who", "")))
        if entry is None or (entry.action, entry.fingerprint, entry.by) != decided:
            found.append(
                f"artifact {artifact.id} of the metadata store: no entry says that {decided[2]} did {action} it"
            )
    return found
