"""What is in service: the pushed versions, which of them answers, and which one answered before."""

from dataclasses import dataclass
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore

from pipeline.review.registry import Model, Registry
from serving.promotion import Deployment, PromotionError, PushedVersion, Record
from serving.promotion.plan import live_before
from serving.promotion.record import COMPLETE


@dataclass(frozen=True)
class Version:
    """A version in the serving directory.

    Attributes:
        number: of the version.
        labels: its labels.
        live: whether it answers in production: the one labelled stable or, without that label, the default.
        loaded: whether a server that follows models.config has it loaded.
        flaw: why no server could load it; None when it is whole.
        pushed_at: UTC, seconds since the epoch.
        model: that was pushed as this version; None when this metadata store does not know.
    """

    number: int
    labels: tuple[str, ...]
    live: bool
    loaded: bool
    flaw: str | None
    pushed_at: float
    model: Model | None


@dataclass(frozen=True)
class Service:
    """What lies in the serving directory.

    Attributes:
        versions: the newest first.
        before: number of the version that answered before the live one, None when there was none.
        records: promotions, roll-backs and prunings, oldest first.
        flaw: why nothing of this is known; empty when it is.
        note: that models.config has the model loaded from elsewhere; empty when it has not.
    """

    versions: tuple[Version, ...] = ()
    before: int | None = None
    records: tuple[Record, ...] = ()
    flaw: str = ""
    note: str = ""

    @property
    def live(self) -> Version | None:
        """The version that answers in production."""
        return next((version for version in self.versions if version.live), None)

    def state_of(self, number: int) -> str:
        """How a version is served, in words."""
        for version in self.versions:
            if version.number == number:
                state = "in production" if version.live else "loaded" if version.loaded else "not loaded"
                return ", ".join([state, *version.labels])
        return "no longer there" if not self.flaw else "not known"


def read_service(destination: str, model_name: str, store: MetadataStore | None, registry: Registry) -> Service:
    """Reads the serving directory and models.config.

    Args:
        destination: the serving directory.
        model_name: that TensorFlow Serving knows the model by.
        store: holds the records of promotions.
        registry: knows which model is which version.
    """
    if "://" in destination:
        return Service(flaw=f"the serving directory {destination} is an object store: labels are not read from there")
    if store is None:
        return Service(flaw="there is no metadata store yet")
    deployment = Deployment(Path(destination), model_name, store)
    try:
        served, pushed, note = deployment.served(), deployment.versions(), deployment.other_place()
    except (PromotionError, OSError) as error:
        return Service(flaw=str(error))
    records = tuple(deployment.records.all())
    versions = tuple(
        Version(
            number=number,
            labels=tuple(label for label, labelled in served.labels.items() if labelled == number),
            live=number == served.live,
            loaded=number in served.versions,
            flaw=version.problem,
            pushed_at=version.pushed_at,
            model=_model(registry, version),
        )
        for number, version in reversed(pushed.items())
    )
    return Service(versions, _before(records, served.live, registry), records, note=note)


def _model(registry: Registry, version: PushedVersion) -> Model | None:
    """The id in the version's directory may be another store's: it counts when this store knows of the push."""
    model = registry.by_version.get(version.number)
    return model if model is not None and model.id == version.model_id else None


def _before(records: tuple[Record, ...], live: int | None, registry: Registry) -> int | None:
    """By the records of promotions; where there are none, servers take the highest version, and took the one below."""
    if live is None:
        return None
    recorded = live_before(records, live)
    if recorded is not None or any(record.state == COMPLETE for record in records):
        return recorded
    return max((number for number in registry.by_version if number < live), default=None)
