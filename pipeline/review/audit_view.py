"""What the audit log says of a model, and whether the log, and what is served, is as it was written."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.governance.audit_check import audit_log, card_of_decision
from pipeline.review.registry import Model, Registry
from pipeline.settings import Settings
from schema.errors import AgNewsError
from serving.audit import APPROVE, AuditLog, Entry, Line, differences, manifest, problems, receipt_hash
from serving.verify import differences_from_push, named_versions

_Stamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class Trail:
    """Entries of the audit log.

    Attributes:
        entries: those about a model, oldest first.
        place: the file.
        flaws: in what the file is not as it was written, or why it cannot be read.
        cards: in what the model's card is another than those who approved it had before them.
    """

    entries: tuple[Entry, ...]
    place: str
    flaws: tuple[str, ...]
    cards: tuple[str, ...] = ()


def entries_about(settings: Settings, registry: Registry, model: Model) -> Trail:
    """Pushes, decisions, promotions and prunings of a model, found by its fingerprint and its versions."""
    try:
        log = audit_log(settings)
        lines, flaws = _checked(log.path, _stamp(log.path.resolve()) if log.path.exists() else None)
    except AgNewsError as error:
        return Trail((), "", (str(error),))
    there = {line.hash for line in lines}
    missing = tuple(
        f"the entry of artifact {artifact.id} ({artifact.type}) is gone"
        for kind in ("PushedModel", "AgNewsApprovalDecision")
        for artifact in registry.snapshot.of_type(kind)
        if (digest := receipt_hash(str(artifact.properties.get("audit", "")), log)) and digest not in there
    )
    entries = tuple(line.entry for line in lines if line.entry and _is_about(line.entry, settings, model))
    return Trail(entries, str(log.path), flaws + missing, _changed_cards(entries))


def served_differences(settings: Settings, number: int) -> tuple[str, ...]:
    """In what the files of a version in the serving directory are not those that were pushed.

    Args:
        settings: say where the version and the audit log are.
        number: of the version.
    """
    name = settings.pusher.model_name
    try:
        push = audit_log(settings).last_push(name, number)
    except AgNewsError as error:
        return (str(error),)
    if push is None:
        return ("nobody is recorded to have pushed it",)
    directory = Path(settings.pusher.destination) / name / str(number)
    try:
        names = named_versions(directory.parent).get(number, ())
        return (*names, *differences_from_push(push, _manifest(directory, _stamps(directory))))
    except OSError as error:
        return (f"{error.filename}: {error.strerror}",)


def _stamp(path: Path) -> _Stamp:
    """What changes whenever a file does: the time of a change of status cannot be set by those who change it."""
    stat = path.lstat()
    return str(path), stat.st_ino, stat.st_size, stat.st_ctime_ns


def _stamps(directory: Path) -> tuple[_Stamp, ...]:
    return tuple(map(_stamp, sorted(directory.rglob("*"))))


@lru_cache(maxsize=4)
def _manifest(directory: Path, stamps: tuple[_Stamp, ...]) -> dict[str, str]:
    """SHA-256 of each file; computed anew when a stamp changed."""
    return manifest(directory)


def _changed_cards(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """A line an approval whose card has other files now.

    One that is gone shows on the page by itself; one in an object store takes too long to read for a page.
    """
    found = []
    for entry in entries:
        card = card_of_decision(entry)
        if card is None or entry.action != APPROVE:
            continue
        directory = Path(card.directory)
        try:
            there = directory.is_dir()
            changed = differences(card.files, _manifest(directory, _stamps(directory))) if there else []
        except OSError as error:
            changed = [f"{error.filename}: {error.strerror}"]
        if changed:
            found.append(f"it is no longer as {entry.by} approved it: {', '.join(changed)}")
    return tuple(found)


def _is_about(entry: Entry, settings: Settings, model: Model) -> bool:
    if model.fingerprint and entry.fingerprint == model.fingerprint:
        return True
    return entry.model == settings.pusher.model_name and entry.version in model.versions


@lru_cache(maxsize=1)
def _checked(path: Path, stamp: _Stamp | None) -> tuple[list[Line], tuple[str, ...]]:
    """The lines and what is wrong with them; `stamp` changes with the file."""
    log = AuditLog(path)
    return log.lines(), tuple(problems(log, {}))
