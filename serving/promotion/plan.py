"""Computes the versions and labels after a change, and the steps in which a server can reach them."""

from collections.abc import Iterable, Iterator, Sequence

from serving.audit import PROMOTE, ROLLBACK
from serving.promotion.config import STABLE, Served
from serving.promotion.record import COMPLETE, Record


def after_promotion(before: Served, version: int, label: str, fallback: int | None) -> Served:
    """Returns the configuration after moving a label to a version.

    Args:
        before: the current configuration.
        version: new version of the label.
        label: the label.
        fallback: version that a later roll-back would restore.
    """
    return _loading({**before.labels, label: version}, fallback)


def after_unlabelling(before: Served, label: str, fallback: int | None) -> Served:
    """Returns the configuration after removing a label other than `stable`."""
    return _loading({name: version for name, version in before.labels.items() if name != label}, fallback)


def after_rollback(before: Served, version: int, fallback: int | None) -> Served:
    """Returns the configuration after moving `stable`, and all other labels of the abandoned version, back."""
    current = before.production_version
    labels = {label: version if labelled == current else labelled for label, labelled in before.labels.items()}
    return _loading({**labels, STABLE: version}, fallback)


def _loading(labels: dict[str, int], fallback: int | None) -> Served:
    """Loads the labelled versions and the fallback version, so that a roll-back need not wait for loading.

    A fallback version higher than `stable` is left out, since the highest loaded version answers requests without a
    label.
    """
    kept = {fallback} if fallback is not None and fallback < labels[STABLE] else set()
    return Served(frozenset(labels.values()) | kept, labels)


def steps(before: Served, after: Served) -> list[Served]:
    """Returns the configurations to send to a server, one after another.

    TensorFlow Serving checks the labels before it loads anything, and refuses the whole config when a label moves to
    a version that is not loaded (ServerCore::UpdateModelVersionLabelMap). The version is therefore loaded first, in
    addition to all served versions, and the labels move once it is available.
    """
    if set(after.labels.values()) <= before.versions:
        return [after]
    return [Served(before.versions | after.versions, before.labels), after]


def production_version_before(records: Sequence[Record], current: int | None) -> int | None:
    """Returns the production version before `current` according to the records; None if they do not contain it.

    The records act as a stack: a promotion pushes its version, and a roll-back removes all versions above its own. A
    version that was rolled back is not selected again until it is promoted again.

    Args:
        records: oldest first.
        current: the production version.
    """
    pile: list[int] = []
    for record in moves_of_stable(records):
        if record.action == ROLLBACK:
            while pile and pile[-1] != record.to_version:
                pile.pop()
        elif record.from_version is not None and pile[-1:] != [record.from_version]:
            pile.append(record.from_version)
        if record.to_version is not None and pile[-1:] != [record.to_version]:
            pile.append(record.to_version)
    while current in pile:
        if pile.pop() == current:
            break
    abandoned = rolled_back_from(records)
    return next((version for version in reversed(pile) if version not in abandoned), None)


def rolled_back_from(records: Iterable[Record]) -> set[int]:
    """Returns the versions that a roll-back abandoned and that have not been promoted or restored since."""
    abandoned: set[int] = set()
    for record in moves_of_stable(records):
        if record.action == ROLLBACK and record.from_version is not None:
            abandoned.add(record.from_version)
        abandoned -= {record.to_version}
    return abandoned


def moves_of_stable(records: Iterable[Record]) -> Iterator[Record]:
    """Yields the completed promotions and roll-backs of the label `stable`."""
    for record in records:
        if record.state == COMPLETE and record.label == STABLE and record.action in (PROMOTE, ROLLBACK):
            yield record
