"""Checks before a run starts."""

from components.example_gen.sources import DataSource
from pipeline.metadata.connection import existing_store
from pipeline.metadata.graph import pipeline_artifacts
from pipeline.settings import Settings
from schema.errors import DataError
from schema.metadata import EXAMPLES


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
