"""From a served version to the page of its model card."""

from pathlib import Path

from ml_metadata.metadata_store import MetadataStore

from pipeline.metadata.lineage import card_of
from pipeline.settings import Settings
from serving.promotion import Deployment

# As components.model_card.render names it, which takes seconds to import.
PAGE = "model_card.html"


def card_page(settings: Settings, store: MetadataStore, version: int) -> Path | None:
    """The page of a version's model card; None where the store does not know it, or the file is not on this machine.

    Args:
        settings: where versions are pushed to.
        store: of the run that pushed the version.
        version: the served version.
    """
    deployment = Deployment(Path(settings.pusher.destination), settings.pusher.model_name, store)
    pushed = deployment.versions().get(version)
    model = dict(deployment.records.lineage(pushed)).get("model") if pushed else None
    card = card_of(store, model) if model else None
    page = Path(card.uri) / PAGE if card else None
    return page if page and page.is_file() else None
