"""Where the audit log is, and what the metadata store knows of it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.connection import artifacts_of
from pipeline.settings import Settings
from schema.errors import SettingsError
from serving.audit import APPROVE, AUDIT_FILE, DECIDED, REJECT, AuditLog, Entry, person, receipt_hash, receipt_log

_PROMOTION = "agnews.Promotion"
_DECISION, _REQUEST = "AgNewsApprovalDecision", "AgNewsApprovalRequest"
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
        if entry is None or not _say_the_same(entry, artifact):
            did = f"{unquote(noted.get('who', ''))} did {_action(artifact)}"
            found.append(f"artifact {artifact.id} of the metadata store: no entry says that {did} it then")
    return found


def uncounted_decisions(store: MetadataStore, log: AuditLog) -> list[str]:
    """The log's decisions that the gate does not find in the metadata store as they were made, a line each.

    Not looked for are decisions on models that no pipeline in this store asks about, which are another store's or of
    one that is gone, and those of Kubeflow's runs, which are in the log alone. One that the same person made anew is
    none to be missed: the last one counts.
    """
    return [flaw for one in store.get_contexts_by_type("pipeline") for flaw in _uncounted(store, one.name, log)]


def _uncounted(store: MetadataStore, pipeline: str, log: AuditLog) -> list[str]:
    asked = {one.custom_properties["fingerprint"].string_value for one in artifacts_of(store, pipeline, _REQUEST)}
    decided = {line.hash: line for line in log.lines() if line.entry and _is_for(line.entry, asked)}
    ids = {}
    for artifact in artifacts_of(store, pipeline, _DECISION):
        # Whatever log the receipt names: one that was moved has the same lines.
        line = decided.get(artifact.custom_properties["audit"].string_value.partition(" ")[0])
        if line and line.entry and _say_the_same(line.entry, artifact):
            ids[line.hash] = artifact.id
    found, later = [], dict[tuple[str, str], int]()
    for line in reversed(decided.values()):
        assert line.entry
        entry = line.entry
        of = (person(entry.by), entry.fingerprint)
        what = f"line {line.number}: that {entry.by} did {entry.action} model {entry.details['model_id']}"
        if line.hash not in ids and of not in later:
            found.append(f"{what} does not count: it is not in the metadata store like that; decide again")
        elif line.hash in ids and ids[line.hash] > later.setdefault(of, ids[line.hash]):
            found.append(f"{what} stands in the metadata store after what they decided later; decide again")
    return found[::-1]


def _is_for(entry: Entry, asked: Collection[str]) -> bool:
    """Whether it is a decision that the metadata store must have; Kubeflow's models have no ids."""
    return entry.action in (APPROVE, REJECT) and entry.fingerprint in asked and "model_id" in entry.details


def _say_the_same(entry: Entry, artifact: mlmd.Artifact) -> bool:
    noted = {name: value.string_value for name, value in artifact.custom_properties.items()}
    decided = (_action(artifact), noted.get("fingerprint"), unquote(noted.get("who", "")))
    return (entry.action, entry.fingerprint, entry.by) == decided and _same_moment(entry, noted.get("when", ""))


def _action(artifact: mlmd.Artifact) -> str:
    return APPROVE if artifact.custom_properties["approved"].int_value else REJECT


def _same_moment(entry: Entry, when: str) -> bool:
    if DECIDED in entry.details:
        return entry.details[DECIDED] == when
    # Entries from before that was noted: they were written when the model's files had been read and the lock was had.
    try:
        return abs(datetime.fromisoformat(entry.when) - datetime.fromisoformat(when)) < timedelta(hours=1)
    except (ValueError, TypeError):
        return False


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
