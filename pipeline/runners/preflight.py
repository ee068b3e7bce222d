"""Before a run: whether its rows may be ingested, and what it would record of them and its settings be stored."""

import json

from components.example_gen.sources import ENVIRONMENT, DataSource
from pipeline.metadata.connection import artifacts_of, existing_store
from pipeline.settings import Settings
from schema.errors import DataError, SettingsError


def check_source(source: DataSource, settings: Settings) -> None:
    """Lets synthetic rows be a first run's alone.

    On them a model of real rows has no advantage: one of synthetic rows would be blessed and take its place.

    Args:
        source: what the run would ingest.
        settings: name of the pipeline, and where its metadata store is.

    Raises:
        DataError: the rows are synthetic, and the pipeline has ingested others.
    """
    store = existing_store(settings) if source.synthetic else None
    examples = artifacts_of(store, settings.pipeline.name, "Examples") if store else []
    ingested = [one for one in examples if "synthetic" in one.custom_properties]  # The others are Transform's.
    real = [one for one in ingested if not one.custom_properties["synthetic"].int_value]
    if real:
        raise DataError(
            f"the public data cannot be downloaded here ({source.offline}), and synthetic rows would take the place of "
            f"the real ones that {settings.pipeline.name} has trained on (examples {real[-1].id}): set AG_NEWS_DIR or "
            "--data to a directory that holds train.csv and test.csv. To train on made-up rows on purpose: agnews data "
            "sample --to DIRECTORY, and --data DIRECTORY"
        )


def check_texts(settings: Settings, source: DataSource) -> None:
    """Sees to it that the store can hold what a run writes of its settings; else a component ends with SQL's error.

    ML Metadata writes no backslash into PostgreSQL (`components.evaluator.component`), and JSON escapes with them.

    Raises:
        SettingsError: it cannot; the message names the settings.
    """
    if settings.metadata.backend != "postgresql":
        return
    place = {"path": "data.path", ENVIRONMENT: ENVIRONMENT}.get(source.found_by, "data.cache")
    in_json = {
        place: source.base,
        "data.train_pattern": source.train_pattern,
        "data.test_pattern": source.test_pattern,
        "pipeline.root": settings.pipeline.root,
        "trainer.word_vectors": settings.trainer.word_vectors,
        "pusher.destination": settings.pusher.destination,
    }
    as_they_are = {
        "promotion.audit_log": settings.promotion.audit_log,
        "promotion.signing_key_file": settings.promotion.signing_key_file,
    }
    refused = {key: text for key, text in in_json.items() if "\\" in json.dumps(text)}
    refused |= {key: text for key, text in as_they_are.items() if text and "\\" in text}
    if refused:
        shown = ", ".join(f"{key} {text}" for key, text in refused.items())
        raise SettingsError(
            f"{shown}: ML Metadata fails to write this into PostgreSQL: name places of ASCII letters without quotation "
            "marks and backslashes (a relative one counts with the working directory), or metadata.backend sqlite"
        )
