"""Finds the data, and makes all checks before a run starts."""

import os
from collections.abc import Callable
from pathlib import Path

from components import download
from components.example_gen import sources
from components.example_gen.sources import DataSource
from components.trainer import glove
from components.trainer.shapes import GLOVE
from pipeline.beam.engine_check import check_docker, check_engine
from pipeline.governance.audit_check import openssf_files
from pipeline.metadata.connection import existing_store
from pipeline.metadata.graph import pipeline_artifacts
from pipeline.settings import BeamSettings, Settings
from schema.errors import DataError, SettingsError
from schema.metadata import EXAMPLES
from serving.audit.openssf import openssf_signer
from serving.audit.signature import read_signing_key


def resolve_source(settings: Settings, progress: download.Progress = lambda *_: None) -> DataSource:
    """Finds the data files that the settings and the environment select; downloads them if none are local.

    Also downloads GloVe's word vectors if the settings name them.

    Args:
        settings: all settings.
        progress: receives the progress of a download, see `components.download`.

    Raises:
        SettingsError: data.cache cannot be written, there is a schema without the path of its data, or GloVe's word
            vectors cannot be downloaded.
        DataError: a named directory has no data, or the download failed although the network is up.
    """
    data = settings.data
    if data.schema_file is not None and data.path is None:
        raise SettingsError(f"data.schema_file {data.schema_file}: set data.path, too, to the data of these classes")
    if settings.trainer.word_vectors == GLOVE:
        glove.fetch(settings.trainer.network.embedding_dim, progress)
    try:
        return sources.resolve(
            data.path,
            data.train_pattern,
            data.test_pattern,
            cache=Path(data.cache),
            synthetic_rows=data.synthetic_rows,
            synthetic_seed=data.synthetic_seed,
            download=lambda directory: download.download(sources.AG_NEWS, directory, progress),
            has_test_files=data.test_fraction is None,
        )
    except OSError as error:
        raise SettingsError(
            f"data.cache {data.cache}: {error.strerror or error}; name a place that can be written"
        ) from error


def expected_source(settings: Settings) -> DataSource:
    """Returns the data files as the settings describe them, without looking for them.

    The graph of components depends only on whether the patterns contain spans.
    """
    data = settings.data
    test_pattern = data.test_pattern or ("test.csv" if data.test_fraction is None else "")
    return DataSource(data.path or "", data.train_pattern or "train.csv", test_pattern, "path")


def prepare(settings: Settings, resolve: Callable[[Settings], DataSource] = resolve_source) -> DataSource:
    """Checks everything that would stop a run hours later, and finds its data.

    Args:
        settings: all settings.
        resolve: finds the data.

    Raises:
        SettingsError: a key, vector or password file, or the Beam engine cannot be used.
        DataError: there is no data, the span is not complete, or the rows are synthetic after real ones.
        RunError: the Beam engine does not respond.
    """
    if settings.promotion.signing_key_file:
        read_signing_key(Path(settings.promotion.signing_key_file))
    if files := openssf_files(settings):
        openssf_signer(files, settings.pusher.destination)
    settings.trainer.check_word_vectors()
    settings.alerts.read_webhook_url()
    settings.alerts.read_smtp_password()
    source = resolve(settings)
    check_source(source, settings)
    source.check_span(settings.data.span)
    check_engine(settings.beam)
    check_docker(settings.infra_validator)
    return source


def check_source(source: DataSource, settings: Settings) -> None:
    """Refuses synthetic data once the pipeline has trained on real data.

    Otherwise a model trained on synthetic rows could replace the real one, which has no advantage on synthetic rows.

    Args:
        source: data that the run would ingest.
        settings: settings with the pipeline's name and metadata store.

    Raises:
        DataError: the data is synthetic, and the pipeline has trained on real data.
    """
    store = existing_store(settings) if source.synthetic else None
    examples = pipeline_artifacts(store, settings.pipeline.name, EXAMPLES) if store else []
    ingested = [one for one in examples if "synthetic" in one.custom_properties]  # Transform made the others.
    real = [one for one in ingested if not one.custom_properties["synthetic"].int_value]
    if real:
        raise DataError(
            f"the public data cannot be downloaded here ({source.offline}), and synthetic rows would take the place of "
            f"the real ones that {settings.pipeline.name} has trained on (examples {real[-1].id}): set AG_NEWS_DIR or "
            "--data to a directory that holds train.csv and test.csv. To train on made-up rows on purpose: agnews data "
            "sample --to DIRECTORY, and --data DIRECTORY"
        )


def check_pods(settings: Settings) -> None:
    """Checks that pods share what the settings name.

    Raises:
        SettingsError: a setting is not supported in pods.
    """
    if settings.metadata.backend == "sqlite":
        raise SettingsError(
            "metadata.backend is sqlite, a file that pods cannot share: set it to postgresql (--profile kubeflow does)"
        )
    if settings.infra_validator.platform == "docker":
        raise SettingsError("infra_validator.platform docker needs an engine that pods do not have: use process")
    _check_engine(settings.beam)
    places = {
        "pipeline.root": settings.pipeline.root,
        "data.path": settings.data.path or os.environ.get(sources.ENVIRONMENT),
        "pusher.destination": settings.pusher.destination,
        "promotion.audit_log": settings.promotion.audit_log,
    }
    local = {key: place for key, place in places.items() if place is not None and "://" not in place}
    mounted = settings.kubeflow.mount_path
    for key, place in local.items():
        if not f"{place}/".startswith(f"{mounted}/"):
            raise SettingsError(
                f"{key} {place} is on the disk of a pod, which ends with it: name a URI or a directory below "
                f"kubeflow.mount_path {mounted} (--profile kubeflow has them all)"
            )
    if local and settings.kubeflow.volume_claim is None:
        raise SettingsError(
            f"{', '.join(local)} are below kubeflow.mount_path, where nothing is mounted: set kubeflow.volume_claim"
        )


def _check_engine(settings: BeamSettings) -> None:
    """Requires a running job server and worker pool, because a pod cannot start one that Flink or Spark can reach."""
    if settings.runner not in ("flink", "spark"):
        return
    for name, what in (("job_endpoint", "a job server"), ("worker_pool", "the workers next to the cluster's nodes")):
        if getattr(settings, name) is None:
            raise SettingsError(
                f"beam.runner {settings.runner} needs beam.{name} in pods, the address of {what}: what this "
                "machine would start is not in the pods"
            )
