"""`agnews serve`: runs the local model server, with the flags of tensorflow_model_server."""

from dataclasses import replace
from pathlib import Path

import click

from schema.errors import DataError
from serving.server import Flags, run, server_flags

# As in serving/deploy/compose.yaml.
_CONFIG_POLL_SECONDS = 10


@click.command(epilog="Example:  agnews serve --rest_api_port=8501")
@server_flags
def serve(flags: Flags) -> None:
    """Serve models with the APIs and flags of TensorFlow Serving, without Docker.

    Without --model_base_path and --model_config_file it serves the models in pusher.destination. The server is for
    development, tests and small machines. Its flags are those of tensorflow_model_server, so you can switch to the
    real server by changing one word. When it is ready, it prints one line of JSON with its ports. It accepts flags of
    the real server that have no effect here, and prints a warning.
    """
    run(flags if flags.model_base_path or flags.model_config_file else _with_pushed_models(flags))


def _with_pushed_models(flags: Flags) -> Flags:
    """Returns the flags that serve what `agnews run` pushed, with the labels that `agnews versions promote` gave.

    Raises:
        DataError: no model has been pushed.
    """
    from pipeline.settings.sources import load
    from serving.promotion.config import CONFIG_FILE

    pusher = load("default", None, {}).settings.pusher
    config, base = (f"{pusher.destination}/{name}" for name in (CONFIG_FILE, pusher.model_name))
    if Path(config).is_file():
        return replace(
            flags,
            model_config_file=config,
            model_config_file_poll_wait_seconds=flags.model_config_file_poll_wait_seconds or _CONFIG_POLL_SECONDS,
            allow_version_labels_for_unavailable_models=True,
        )
    if "://" not in base and not Path(base).is_dir():
        raise DataError(
            f"{base}: no model has been pushed; run agnews run, set pusher.destination, or give --model_base_path"
        )
    return replace(flags, model_name=pusher.model_name, model_base_path=base)
