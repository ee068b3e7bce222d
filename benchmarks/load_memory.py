"""What loading and unloading a version leaves in memory: TensorFlow alone, and the local server's Servable.

Each way runs in a process of its own: it loads the same version, asks it once and lets go of it, again and again.
Run as `PYTHONPATH=. .venv/bin/python -m benchmarks.load_memory VERSION_DIRECTORY`.
"""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import psutil

from schema.model_contract import SERVING_DEFAULT

_SETTLED = 10  # Loads after which the allocator's pools have grown.


def _tensorflow(directory: str) -> None:
    import tensorflow as tf

    # As short as the documentation of SavedModel has it.
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], directory)
        signature = graph.signature_def[SERVING_DEFAULT]
        feed = {info.name: [b"Oil prices rise"] for info in signature.inputs.values()}
        session.run([info.name for info in signature.outputs.values()], feed)


def _tensorflow_2(directory: str) -> None:
    import tensorflow as tf

    model = tf.saved_model.load(directory)
    signature = model.signatures[SERVING_DEFAULT]
    text = tf.constant([b"Oil prices rise"])
    signature(**dict.fromkeys(signature.structured_input_signature[1], text))


def _servable(directory: str) -> None:
    import numpy as np

    from serving.server.servable import Servable, SessionOptions

    servable = Servable(directory, SessionOptions())
    signature = servable.signatures[SERVING_DEFAULT]
    feeds = tuple(declared.tensor for declared in signature.inputs.values())
    run = servable.run_for(feeds, tuple(tensor for tensor, _ in signature.outputs.values()))
    run([np.array([b"Oil prices rise"], object)] * len(feeds))
    del run
    servable.close()


_WAYS: dict[str, Callable[[str], None]] = {
    "session": _tensorflow,
    "tf.saved_model.load": _tensorflow_2,
    "server's Servable": _servable,
}


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--loads", type=click.IntRange(min=_SETTLED + 1), default=60, show_default=True)
@click.option("--way", type=click.Choice(list(_WAYS)), hidden=True, help="Runs in this process.")
def main(directory: Path, loads: int, way: str | None) -> None:
    """Print the resident memory after some loads of the version in DIRECTORY, and what each further one adds."""
    if way is None:
        click.echo(f"{'MB after':24} {_SETTLED:>6} {loads:>6}  a load")
        for name in _WAYS:
            command = [sys.executable, "-m", "benchmarks.load_memory", str(directory), f"--loads={loads}", "--way"]
            click.echo(subprocess.run([*command, name], check=True, stdout=subprocess.PIPE, text=True).stdout, nl=False)
        return
    resident = []
    for _ in range(loads):
        _WAYS[way](str(directory))
        gc.collect()
        resident.append(psutil.Process().memory_info().rss / 1e6)
    settled, last = resident[_SETTLED - 1], resident[-1]
    click.echo(f"{way:24} {settled:6.0f} {last:6.0f}  {(last - settled) / (loads - _SETTLED):6.2f}")


if __name__ == "__main__":
    main()
