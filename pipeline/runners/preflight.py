"""Finds the data, and makes all checks before a run starts."""

from collections.abc import Callable
from pathlib import Path

from components.example_gen import download, sources
from components.example_gen.sources import DataSource
from pipeline.beam.engine_check import check_docker, check_engine
from pipeline.metadata.connection import existing_store
from pipeline.metadata.graph import pipeline_artifacts
from pipeline.settings import Settings
from schema.errors import DataError, SettingsError
from schema.metadata import EXAMPLES
from serving.audit.signature import read_signing_key


def resolve_source(settings: Settings, progress: download.Progress = lambda *_: None) -> DataSource:
    """Finds the data files that the settings and the environment select; downloads them if none are local.

    Args:
        settings: all settings.
        progress: receives the progress of a download, see `components.example_gen.download`.

    Raises:
        SettingsError: data.cache cannot be written.
        DataError: a named directory has no data, or the download failed although the network is up.
    """
    data = settings.data
    try:
        return sources.resolve(
            data.path,
            data.train_pattern,
            data.test_pattern,
            cache=Path(data.cache),
            synthetic_rows=data.synthetic_rows,
            synthetic_seed=data.synthetic_seed,
            download=lambda directory: download.download(directory, progress),
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
