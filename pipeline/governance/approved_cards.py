"""The model card that a decision was made on: noted in its entry of the audit log, and compared with what is there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schema.errors import AuditError
from serving.audit import APPROVE, REJECT, Entry, Line, differences, manifest

_CARD = "card"


@dataclass(frozen=True)
class Card:
    """A model card as it was when somebody decided.

    Attributes:
        place: its directory.
        files: SHA-256 of each of its files.
    """

    place: str
    files: Mapping[str, str]


def note_card(place: str) -> dict[str, Any]:
    """What the entry of a decision says of the card; empty where none was written or its files are gone.

    Args:
        place: its directory, empty where there is none.
    """
    files = found_files(place) if place else {}
    return {_CARD: {"uri": place, "files": files}} if files else {}


def decided_card(entry: Entry) -> Card | None:
    """The card that an approval or a rejection was made on; None where there was none, or for other entries."""
    noted = entry.details.get(_CARD)
    if entry.action not in (APPROVE, REJECT) or not isinstance(noted, dict):
        return None
    place, files = noted.get("uri"), noted.get("files")
    return Card(place, files) if isinstance(place, str) and isinstance(files, dict) else None


def found_files(place: str) -> dict[str, str]:
    """SHA-256 of each file of a card as it is now; none where it is gone.

    Args:
        place: its directory, local or of an object store.

    Raises:
        AuditError: it is there and cannot be read.
    """
    if "://" in place:
        # TensorFlow's, to read it; they take seconds to import.
        from tfx.dsl.io import fileio

        from components.exports import files_of

        return files_of(place) if fileio.exists(place) else {}
    try:
        return manifest(Path(place)) if Path(place).is_dir() else {}
    except OSError as error:
        raise AuditError(f"{error.filename}: {error.strerror}; the model card there must be readable") from error


def changed_cards(lines: Iterable[Line]) -> tuple[list[str], list[str]]:
    """Which cards are no longer what people decided on.

    Returns:
        A line for each that has other files now, and one for each that is gone altogether.
    """
    changed, gone = [], []
    for line in lines:
        card = decided_card(line.entry) if line.entry else None
        if card is None or line.entry is None:
            continue
        what = f"line {line.number}: the model card that {line.entry.by} decided on, {card.place},"
        found = found_files(card.place)
        if not found:
            gone.append(f"{what} is no longer there")
        elif different := differences(card.files, found):
            changed.append(f"{what} is another now: {', '.join(different)}")
    return changed, gone
