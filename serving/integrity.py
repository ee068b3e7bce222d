"""Is what is served what was pushed? Each version's files against the fingerprints that the audit log holds."""

from dataclasses import dataclass
from pathlib import Path

from schema.audit import AuditLog, Entry, differences, manifest
from serving.promotion.versions import pushed_versions


@dataclass(frozen=True)
class CheckedVersion:
    """A version that is there, or should be; `findings` is empty when it is as it was pushed."""

    model: str
    number: int
    findings: tuple[str, ...]


def check(serving_directory: Path, log: AuditLog) -> list[CheckedVersion]:
    """Checks every version of every model, lowest first.

    Args:
        serving_directory: a directory a model, and in it one a version.
        log: where pushes and prunings were entered.
    """
    pushed = _should_be_there(log)
    models = {path.name for path in serving_directory.iterdir() if path.is_dir()}
    there = {
        (model, number): version.path
        for model in models
        for number, version in pushed_versions(serving_directory / model).items()
    }
    return [CheckedVersion(*key, _findings(pushed.get(key), there.get(key))) for key in sorted(pushed | there)]


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


def _findings(entry: Entry | None, path: Path | None) -> tuple[str, ...]:
    if entry is None:
        return ("not in the audit log: nobody is recorded to have pushed it",)
    if path is None:
        return ("missing, and not recorded as pruned",)
    return tuple(differences(entry.details["files"], manifest(path)))
