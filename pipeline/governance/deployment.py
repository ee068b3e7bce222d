"""Opens the serving directory that the settings name, so that its versions can be promoted and rolled back."""

import time
from collections.abc import Callable
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore

from pipeline.governance.audit_check import audit_log
from pipeline.metadata.connection import connection_config, open_store
from pipeline.settings import Settings
from schema.errors import DataError
from schema.paths import is_remote
from serving.audit.signature import read_public_key, signer
from serving.promotion import Deployment, Server


def open_deployment(
    settings: Settings,
    *,
    server: Server | None = None,
    poll_seconds: float = 0.0,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Deployment, MetadataStore]:
    """Opens the serving directory in the settings, and the metadata store with its records.

    Args:
        settings: the settings.
        server: a running server to notify of changes, or None.
        poll_seconds: seconds to wait for servers to read models.config.
        pause: waits for a number of seconds.

    Raises:
        DataError: the directory is not on this machine, or no model has been pushed to it.
        SettingsError: a key cannot be used.
    """
    pusher, promotion = settings.pusher, settings.promotion
    destination = Path(pusher.destination)
    if is_remote(pusher.destination):
        raise DataError(
            f"pusher.destination {pusher.destination} is an object store, where no file is replaced in one step; "
            "run this where it is mounted as a directory, with --set pusher.destination=DIRECTORY"
        )
    if not (destination / pusher.model_name).is_dir():
        raise DataError(
            f"{destination / pusher.model_name}: no model has been pushed; run agnews run, or set pusher.destination"
        )
    store = open_store(connection_config(settings))
    deployment = Deployment(
        destination,
        pusher.model_name,
        store,
        server=server,
        poll_seconds=poll_seconds,
        pause=pause,
        audit=audit_log(settings),
        sign=signer(Path(promotion.signing_key_file)) if promotion.signing_key_file else None,
        public_key=read_public_key(Path(promotion.public_key_file)) if promotion.public_key_file else None,
    )
    return deployment, store
