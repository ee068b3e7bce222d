"""Lists the pushed versions with their labels, server states, runs, metrics and promotions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.evaluation_metrics import overall_metrics
from pipeline.metadata.graph import find_producer, find_run, run_artifacts
from schema.metadata import EVALUATION, EXAMPLES
from serving.promotion import Deployment, PushedVersion, Record


@dataclass(frozen=True)
class VersionOverview:
    """A version, with what the metadata store, models.config and a server know about it.

    Attributes:
        version: the version's files.
        labels: its labels.
        in_production: whether it is the version labelled stable or, without that label, the default version. Always
            false without models.config.
        loaded: whether models.config loads it.
        answers_without_label: whether it answers requests that name neither a version nor a label. Without
            models.config: on a server that was started with the model's directory.
        state: the server's state of it; None without a server, "unknown" if the server does not know the version.
        pushed_by: name of the run that pushed it; None if this metadata store does not know it.
        source: source of that run's rows.
        metrics: metrics on the test split, for instance "accuracy"; empty if unknown.
        records: its promotions, roll-backs and prunings, oldest first.
    """

    version: PushedVersion
    labels: tuple[str, ...]
    in_production: bool
    loaded: bool
    answers_without_label: bool
    state: str | None
    pushed_by: str | None
    source: str | None
    metrics: Mapping[str, float]
    records: tuple[Record, ...]


def overview(deployment: Deployment, store: MetadataStore) -> list[VersionOverview]:
    """Returns all pushed versions, the lowest first.

    Args:
        deployment: the serving directory.
        store: the metadata store.
    """
    served, records = deployment.served(), deployment.records.all()
    configured = deployment.config_path.exists()
    states = deployment.server.states(deployment.model_name) if deployment.server else None
    rows = []
    for number, version in deployment.dated_versions().items():
        run = _pushing_run(store, deployment, version)
        source, metrics = _source_and_metrics(store, run) if run else (None, {})
        rows.append(
            VersionOverview(
                version=version,
                labels=tuple(label for label, labelled in served.labels.items() if labelled == number),
                in_production=configured and number == served.production_version,
                loaded=configured and number in served.versions,
                answers_without_label=number == served.unlabelled_version,
                state=None if states is None else states[number].name if number in states else "unknown",
                pushed_by=run.name if run else None,
                source=source,
                metrics=metrics,
                records=tuple(record for record in records if number in (record.from_version, record.to_version)),
            )
        )
    return rows


def _pushing_run(store: MetadataStore, deployment: Deployment, version: PushedVersion) -> mlmd.Context | None:
    pushed = dict(deployment.records.lineage(version)).get("pushed_model")
    producer = find_producer(store, pushed.id) if pushed else None
    return find_run(store, producer) if producer else None


def _source_and_metrics(store: MetadataStore, run: mlmd.Context) -> tuple[str | None, Mapping[str, float]]:
    artifacts = run_artifacts(store, run)
    # Transform writes Examples as well, which have no source.
    examples = [one for one in artifacts if one.type == EXAMPLES and "source" in one.custom_properties]
    evaluations = [one for one in artifacts if one.type == EVALUATION]
    source = examples[0].custom_properties["source"].string_value if examples else None
    return source, overall_metrics(Path(evaluations[0].uri)) if evaluations else {}
