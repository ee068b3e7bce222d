"""Is what is served what was pushed? Each version's files against the fingerprints that the audit log holds."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schema.audit import AuditLog, Entry, differences, manifest
from schema.audit.signature import signature_flaw
from serving.promotion.versions import pushed_versions


@dataclass(frozen=True)
class CheckedVersion:
    """A version that is there, or should be; `findings` is empty when it is as it was pushed."""

    model: str
    number: int
    findings: tuple[str, ...]


def check(serving_directory: Path, log: AuditLog, key: Ed25519PublicKey | None = None) -> list[CheckedVersion]:
    """Checks every version of every model, lowest first.

    Args:
        serving_directory: a directory a model, and in it one a version.
        log: where pushes and prunings were entered.
        key: that every push must be signed with; None asks for no signature.
    """
    pushed = _should_be_there(log)
    models = {path.name for path in serving_directory.iterdir() if path.is_dir()}
    there = {
        (model, number): version.path
        for model in models
        for number, version in pushed_versions(serving_directory / model).items()
    }
    return [CheckedVersion(*one, _findings(pushed.get(one), there.get(one), key)) for one in sorted(pushed | there)]


def _should_be_there(log: AuditLog) -> dict[tuple[str, int], Entry]:
    pushed: dict[tuple[str, int], Entry] = {}
    for line in log.lines():
        entry = line.entry
        if entry is None or entry.version is None or entry.outcome != "COMPLETE":
            continue
        if entry.action == "push":
            pushed[entry.model, entry.version] = entry
        elif entry.action == "prune":
            pushed.pop((entry.model, entry.version), None)
    return pushed


def _findings(entry: Entry | None, path: Path | None, key: Ed25519PublicKey | None) -> tuple[str, ...]:
    if entry is None:
        return ("not in the audit log: nobody is recorded to have pushed it",)
    if path is None:
        return ("missing, and not recorded as pruned",)
    flaw = signature_flaw(key, entry) if key else None
    return (*differences(entry.details["files"], manifest(path)), *([flaw] if flaw else []))
