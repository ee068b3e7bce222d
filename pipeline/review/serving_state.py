"""Reads the serving directory: pushed versions, the production version and its predecessor."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore

from pipeline.review.review_index import ReviewedModel, ReviewIndex
from schema.paths import is_remote
from serving.audit import AuditLog
from serving.promotion import Deployment, PromotionError, PushedVersion, Record
from serving.promotion.plan import moves_of_stable, production_version_before
from serving.promotion.record import COMPLETE


@dataclass(frozen=True)
class ServedVersion:
    """A version in the serving directory.

    Attributes:
        number: version number.
        labels: labels of the version.
        in_production: whether it has the label stable or, if no version has it, is the default version.
        loaded: whether a server that follows models.config loads it.
        problem: reason why servers cannot load it; None if it is loadable.
        pushed_at: UTC, seconds since the epoch.
        is_push_logged: whether that time is from the audit log; otherwise it is a file's date.
        model: model that was pushed as this version; None if the metadata store does not contain the push.
    """

    number: int
    labels: tuple[str, ...]
    in_production: bool
    loaded: bool
    problem: str | None
    pushed_at: float
    is_push_logged: bool
    model: ReviewedModel | None


@dataclass(frozen=True)
class ServingState:
    """The state of the serving directory.

    Attributes:
        versions: all versions, newest first.
        previous: number of the production version before the current one; None if there was none.
        records: promotions, roll-backs and prunings, oldest first.
        problem: reason why the directory could not be read; empty if it was read.
        note: warning that models.config loads the model from another directory; empty if it does not.
    """

    versions: tuple[ServedVersion, ...] = ()
    previous: int | None = None
    records: tuple[Record, ...] = ()
    problem: str = ""
    note: str = ""

    @property
    def production(self) -> ServedVersion | None:
        """The production version; None if there is none."""
        return next((version for version in self.versions if version.in_production), None)

    def state_of(self, number: int) -> str:
        """Describes how a version is served, for instance "in production, stable"."""
        for version in self.versions:
            if version.number == number:
                state = "in production" if version.in_production else "loaded" if version.loaded else "not loaded"
                return ", ".join([state, *version.labels])
        return "deleted" if not self.problem else "unknown"


@dataclass(frozen=True)
class ServicePeriod:
    """A time in which a version was in production.

    Attributes:
        version: version number.
        model: model that was pushed as this version; None if the metadata store does not contain the push.
        since: its begin, UTC, seconds since the epoch.
        until: its end; None if there is none.
    """

    version: int
    model: ReviewedModel | None
    since: float
    until: float | None


def find_service_periods(serving: ServingState, index: ReviewIndex) -> list[ServicePeriod]:
    """Returns which version was in production when, oldest first, by the pushes and the moves of the label `stable`.

    Until the label exists, servers load the highest version.
    """
    times = index.push_times | {one.number: one.pushed_at for one in serving.versions if one.is_push_logged}
    changes = [(moment, version, False) for version, moment in times.items()]
    changes += [
        (datetime.fromisoformat(record.when).timestamp(), record.to_version, True)
        for record in moves_of_stable(serving.records)
        if record.to_version is not None
    ]
    starts: list[tuple[float, int]] = []
    has_label = False
    for moment, version, is_move in sorted(changes):
        has_label = has_label or is_move
        current = starts[-1][1] if starts else -1
        if version != current if is_move else version > current and not has_label:
            starts.append((moment, version))
    ends = [since for since, _ in starts[1:]] + [None]
    return [
        ServicePeriod(version, index.by_version.get(version), since, until)
        for (since, version), until in zip(starts, ends, strict=False)
    ]


def read_serving_state(
    destination: str, model_name: str, store: MetadataStore | None, index: ReviewIndex, log: AuditLog | None = None
) -> ServingState:
    """Reads the serving directory and models.config.

    Args:
        destination: the serving directory.
        model_name: the model's name in TensorFlow Serving.
        store: metadata store with the promotion records; None if it does not exist yet.
        index: index of pushed models.
        log: the audit log with the times of pushes; None means audit.jsonl in the serving directory.
    """
    if is_remote(destination):
        return ServingState(
            problem=f"the serving directory {destination} is an object store; its labels cannot be read"
        )
    if store is None:
        return ServingState(problem="there is no metadata store yet")
    deployment = Deployment(Path(destination), model_name, store, audit=log)
    try:
        served, pushed, note = deployment.served(), deployment.dated_versions(), deployment.other_place()
    except (PromotionError, OSError) as error:
        return ServingState(problem=str(error))
    records = tuple(deployment.records.all())
    versions = tuple(
        ServedVersion(
            number=number,
            labels=tuple(label for label, labelled in served.labels.items() if labelled == number),
            in_production=number == served.production_version,
            loaded=number in served.versions,
            problem=version.problem,
            pushed_at=version.pushed_at,
            is_push_logged=version.is_push_logged,
            model=_model(index, version),
        )
        for number, version in reversed(pushed.items())
    )
    return ServingState(versions, _previous(records, served.production_version, index), records, note=note)


def _model(index: ReviewIndex, version: PushedVersion) -> ReviewedModel | None:
    """Returns the version's model if this store recorded the push; the id may be from another store."""
    model = index.by_version.get(version.number)
    return model if model is not None and model.id == version.model_id else None


def _previous(records: tuple[Record, ...], current: int | None, index: ReviewIndex) -> int | None:
    """Uses the promotion records; without them servers load the highest version, so the previous is the next lower."""
    if current is None:
        return None
    recorded = production_version_before(records, current)
    if recorded is not None or any(record.state == COMPLETE for record in records):
        return recorded
    return max((number for number in index.by_version if number < current), default=None)
