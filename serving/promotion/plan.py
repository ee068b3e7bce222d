"""Which versions and labels a change leads to, and in which steps a server can be taken there."""

from collections.abc import Iterable, Iterator, Sequence

from serving.promotion.config import STABLE, Served
from serving.promotion.record import COMPLETE, PROMOTE, ROLLBACK, Record


def promoted(before: Served, version: int, label: str, fallback: int | None) -> Served:
    """A label moves to a version.

    Args:
        before: what is served.
        version: where the label goes.
        label: the label.
        fallback: the version that a roll-back would then lead to.
    """
    return _loading({**before.labels, label: version}, fallback)


def rolled_back(before: Served, version: int, fallback: int | None) -> Served:
    """`stable` goes back to a version, and so does every label of the version that is left: nobody is to meet it."""
    left = before.live
    labels = {label: version if labelled == left else labelled for label, labelled in before.labels.items()}
    return _loading({**labels, STABLE: version}, fallback)


def _loading(labels: dict[str, int], fallback: int | None) -> Served:
    """Loaded are the labelled versions and the one to fall back to, so that a roll-back waits for no loading.

    A fallback higher than `stable` is left out: the highest loaded version answers requests without a label.
    """
    kept = {fallback} if fallback is not None and fallback < labels[STABLE] else set()
    return Served(frozenset(labels.values()) | kept, labels)


def steps(before: Served, after: Served) -> list[Served]:
    """The configs to give to a server, one after the other.

    TensorFlow Serving checks the labels before it loads anything, and refuses the whole config when a label moves to
    a version that is not loaded (ServerCore::UpdateModelVersionLabelMap). So the version is loaded first, beside all
    that is served, and the labels move when it is there.
    """
    if set(after.labels.values()) <= before.versions:
        return [after]
    return [Served(before.versions | after.versions, before.labels), after]


def live_before(records: Sequence[Record], live: int | None) -> int | None:
    """The version that was in production before `live`, by the records; None when they do not know.

    A promotion puts its version on a pile, a roll-back takes off all above its own. A version that was rolled back is
    not come back to until it is promoted again.

    Args:
        records: oldest first.
        live: the version in production.
    """
    pile: list[int] = []
    for record in _moves_of_stable(records):
        if record.action == ROLLBACK:
            while pile and pile[-1] != record.to_version:
                pile.pop()
        elif record.from_version is not None and pile[-1:] != [record.from_version]:
            pile.append(record.from_version)
        if record.to_version is not None and pile[-1:] != [record.to_version]:
            pile.append(record.to_version)
    while live in pile:
        if pile.pop() == live:
            break
    left = rolled_back_from(records)
    return next((version for version in reversed(pile) if version not in left), None)


def rolled_back_from(records: Iterable[Record]) -> set[int]:
    """The versions that a roll-back left and that have not been promoted or rolled back to since."""
    left: set[int] = set()
    for record in _moves_of_stable(records):
        if record.action == ROLLBACK and record.from_version is not None:
            left.add(record.from_version)
        left -= {record.to_version}
    return left


def _moves_of_stable(records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        if record.state == COMPLETE and record.label == STABLE and record.action in (PROMOTE, ROLLBACK):
            yield record
