"""Checks before a run starts."""

from components.example_gen.sources import DataSource
from pipeline.metadata.connection import existing_store
from pipeline.metadata.graph import pipeline_artifacts
from pipeline.settings import Settings
from schema.errors import DataError
from schema.metadata import EXAMPLES


def check_source(source: DataSource, settings: Settings) -> None:
    """Refuses synthetic data once the pipeline has trained on real data.

    On synthetic rows a model of real rows has no advantage, so a model of synthetic rows could replace it.

    Args:
        source: what the run would ingest.
        settings: name of the pipeline, and where its metadata store is.

    Raises:
        DataError: the rows are synthetic, and the pipeline has ingested others.
    """
    store = existing_store(settings) if source.synthetic else None
    examples = pipeline_artifacts(store, settings.pipeline.name, EXAMPLES) if store else []
    ingested = [one for one in examples if "synthetic" in one.custom_properties]  # The others are Transform's.
    real = [one for one in ingested if not one.custom_properties["synthetic"].int_value]
    if real:
        raise DataError(
            f"the public data cannot be downloaded here ({source.offline}), and synthetic rows would take the place of "
            f"the real ones that {settings.pipeline.name} has trained on (examples {real[-1].id}): set AG_NEWS_DIR or "
            "--data to a directory that holds train.csv and test.csv. To train on made-up rows on purpose: agnews data "
            "sample --to DIRECTORY, and --data DIRECTORY"
        )
