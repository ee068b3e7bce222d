"""Finds a model's audit log entries, and verifies the log, the served files and the approved model card."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.governance.audit_check import audit_log, card_of_decision
from pipeline.review.review_index import ReviewedModel, ReviewIndex
from pipeline.settings import Settings
from schema.errors import AgNewsError
from schema.metadata import APPROVAL_DECISION, PUSHED_MODEL
from serving.audit import APPROVE, AuditLog, Entry, Line, differences, manifest, problems, receipt_hash
from serving.verify import differences_from_push, version_directories

_Stamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class AuditTrail:
    """A model's entries in the audit log.

    Attributes:
        entries: entries about the model, oldest first.
        path: path of the log; empty if it cannot be read.
        problems: detected changes of the log, or the reason why it cannot be read.
        changed_cards: one message per approval whose model card changed afterwards.
    """

    entries: tuple[Entry, ...]
    path: str
    problems: tuple[str, ...]
    changed_cards: tuple[str, ...] = ()


def find_audit_trail(settings: Settings, index: ReviewIndex, model: ReviewedModel) -> AuditTrail:
    """Returns the pushes, decisions, promotions and prunings of a model, by its fingerprint and versions."""
    try:
        log = audit_log(settings)
        lines, found = _read_log(log.path, _stamp(log.path.resolve()) if log.path.exists() else None)
    except AgNewsError as error:
        return AuditTrail((), "", (str(error),))
    hashes = {line.hash for line in lines}
    missing = tuple(
        f"the entry of artifact {artifact.id} ({artifact.type}) is missing"
        for kind in (PUSHED_MODEL, APPROVAL_DECISION)
        for artifact in index.snapshot.of_type(kind)
        if (digest := receipt_hash(str(artifact.properties.get("audit", "")), log)) and digest not in hashes
    )
    entries = tuple(line.entry for line in lines if line.entry and _is_about(line.entry, settings, model))
    return AuditTrail(entries, str(log.path), found + missing, _changed_cards(entries))


def served_differences(settings: Settings, number: int) -> tuple[str, ...]:
    """Compares the files of a served version with those that were pushed.

    Args:
        settings: settings with the serving directory and the audit log.
        number: version number.

    Returns:
        One message per difference.
    """
    name = settings.pusher.model_name
    try:
        push = audit_log(settings).last_push(name, number)
    except AgNewsError as error:
        return (str(error),)
    if push is None:
        return ("the audit log has no entry of its push",)
    directory = Path(settings.pusher.destination) / name / str(number)
    try:
        names = version_directories(directory.parent).get(number, ())
        return (*names, *differences_from_push(push, _manifest(directory, _stamps(directory))))
    except OSError as error:
        return (f"{error.filename}: {error.strerror}",)


def _stamp(path: Path) -> _Stamp:
    """Returns a value that changes with the file; unlike mtime, programs cannot set ctime."""
    stat = path.lstat()
    return str(path), stat.st_ino, stat.st_size, stat.st_ctime_ns


def _stamps(directory: Path) -> tuple[_Stamp, ...]:
    return tuple(map(_stamp, sorted(directory.rglob("*"))))


@lru_cache(maxsize=4)
def _manifest(directory: Path, stamps: tuple[_Stamp, ...]) -> dict[str, str]:
    """Returns the SHA-256 of each file; the result is cached until a stamp changes."""
    return manifest(directory)


def _changed_cards(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """Returns one message per approval whose model card has changed.

    Skips missing cards, which the page reports itself, and cards in object stores, which are slow to read.
    """
    found = []
    for entry in entries:
        card = card_of_decision(entry)
        if card is None or entry.action != APPROVE:
            continue
        directory = Path(card.directory)
        try:
            exists = directory.is_dir()
            changed = differences(card.files, _manifest(directory, _stamps(directory))) if exists else []
        except OSError as error:
            changed = [f"{error.filename}: {error.strerror}"]
        if changed:
            found.append(f"it differs from the card that {entry.shown_by} approved: {', '.join(changed)}")
    return tuple(found)


def _is_about(entry: Entry, settings: Settings, model: ReviewedModel) -> bool:
    if model.fingerprint and entry.fingerprint == model.fingerprint:
        return True
    # A roll-back names the version that it returned to; it is about the one that it left, too.
    versions = (entry.version, entry.details.get("from"))
    return entry.model == settings.pusher.model_name and any(version in model.versions for version in versions)


@lru_cache(maxsize=1)
def _read_log(path: Path, stamp: _Stamp | None) -> tuple[list[Line], tuple[str, ...]]:
    """Returns the log's lines and problems; the result is cached until `stamp` changes."""
    log = AuditLog(path)
    return log.lines(), tuple(problems(log, {}))
