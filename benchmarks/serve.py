"""`make bench-serve`: what a served model costs over the model itself, under load and while versions change.

The local server, the same SavedModel in a process without a server, and tensorflow_model_server where there is one get
the same requests in turns, from clients in processes of their own.
"""

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from benchmarks.load import GRPC, IN_PROCESS, REST, Load, Shape
from benchmarks.processes import LOCAL_SERVER, Endpoint, LoadProcess, serving, swap
from benchmarks.serve_report import (
    BATCH,
    BATCHING,
    CROWD,
    LOCAL,
    REAL,
    SINGLE,
    Key,
    Measured,
    Results,
    Swaps,
    plot,
    print_requests,
    print_swaps,
    print_targets,
)
from pipeline.cli import main
from pipeline.cli.options import settings_options
from pipeline.settings.sources import Loaded
from schema.errors import SettingsError

BINARY, ADDRESS = "TF_SERVING_BINARY", "TF_SERVING_ADDRESS"
# An IPv6 address stands in brackets and has colons of its own.
_HOST_AND_PORTS = re.compile(r"(\[[^]]+\]|[^:\[\]]+):(\d+)(?::(\d+))?")
REQUESTS, SWAPS = "requests", "swaps"
_BATCHING_FLAGS = (
    "--enable_batching",
    f"--batching_parameters_file={Path(__file__).parents[1] / 'serving/deploy/config/batching_parameters.txt'}",
)
_MAX_ITEMS = 4096


@dataclass(frozen=True)
class _Plan:
    """What is measured: rounds of loads of some seconds, open loops at `rate` requests/s, a number of swaps."""

    rounds: int
    seconds: float
    rate: float
    swaps: int

    def shapes(self) -> list[Shape]:
        """Open loops have clients to spare, so that a slow answer does not keep the next request from being sent."""
        return [SINGLE, Shape(1, 32, self.rate), BATCH, Shape(32, 32, self.rate / 10), CROWD]


@dataclass(frozen=True)
class _Place:
    """Where the benchmark works: the model's name, the directory with a copy of its version, and a file of texts."""

    model: str
    base_path: Path
    items: Path


@click.command(epilog="Example:  make bench-serve ARGS='--data ~/ag_news --measure requests --rounds 3'")
@click.option(
    "--model", "directory", type=click.Path(path_type=Path), help="Versions of a model  [default: what is pushed]"
)
@click.option(
    "--measure",
    "parts",
    type=click.Choice([REQUESTS, SWAPS]),
    multiple=True,
    default=[REQUESTS, SWAPS],
    show_default=True,
    help="May be repeated.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each load.")
@click.option("--seconds", type=click.FloatRange(min=0.5), default=3, show_default=True, help="Of each load.")
@click.option(
    "--rate", type=click.FloatRange(min=1), default=200, show_default=True, help="Open loop: requests/s; of 32 a tenth."
)
@click.option("--swaps", type=click.IntRange(min=1), default=100, show_default=True, help="Versions pushed under load.")
@click.option("--to", "plots", type=click.Path(path_type=Path), help="Write serving_*.png to this directory.")
@settings_options
def bench_serve(loaded: Loaded, directory: Path | None, parts, plots: Path | None, **plan) -> None:
    """Load the local server over gRPC and REST; compare it with the model in-process and with TensorFlow Serving.

    For TensorFlow Serving set TF_SERVING_BINARY to a command that starts tensorflow_model_server, or TF_SERVING_ADDRESS
    to HOST:GRPC_PORT:REST_PORT of one that serves the same version; REST_PORT may be left out.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Servers and copies must not outlive it.
    console = Console(width=None if sys.stdout.isatty() else 140)
    settings, chosen = loaded.settings, _Plan(**plan)
    model = settings.pusher.model_name
    elsewhere = _address()
    version = _newest(directory or Path(settings.pusher.destination) / model)
    with TemporaryDirectory() as temporary:
        place = _Place(model, Path(temporary) / model, Path(temporary) / "items.json")
        place.items.write_text(json.dumps(_items(settings)), encoding="utf-8")
        shutil.copytree(version, place.base_path / "1")
        console.print(f"{version}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", highlight=False)
        requests = _measure_requests(place, chosen, elsewhere, console) if REQUESTS in parts else {}
        swaps = _measure_swaps(place, chosen, console) if SWAPS in parts else []
    print_requests(console, requests)
    print_swaps(console, swaps)
    print_targets(console, requests, swaps)
    if plots:
        for path in plot(requests, swaps, plots):
            console.print(f"plot: {path}")


def _newest(directory: Path) -> Path:
    from serving.promotion.versions import pushed_versions

    whole = [version for version in pushed_versions(directory).values() if version.flaw is None]
    if not whole:
        raise SettingsError(f"{directory} holds no version of a model: push one with `make run`, or name one (--model)")
    return whole[-1].path


def _items(settings) -> list[tuple[str, str]]:
    """Titles and descriptions of test rows."""
    from components.example_gen.readers import read_rows
    from components.example_gen.rows import LabelledItem, validate_row
    from pipeline.cli.data import resolve_source

    source = resolve_source(settings)
    rows = (row for file in source.files(source.test_pattern) for row in read_rows(file))
    validated = (validate_row(row, max_chars=settings.data.max_chars) for row in rows)
    good = (row for row in validated if isinstance(row, LabelledItem))
    return [(row.title, row.description) for row in itertools.islice(good, _MAX_ITEMS)]


def _servers() -> dict[str, tuple[str, ...]]:
    """Commands that start a server, by its name."""
    binary = os.environ.get(BINARY)
    return {LOCAL: LOCAL_SERVER} | ({REAL: tuple(shlex.split(binary))} if binary else {})


def _address() -> dict[str, Endpoint]:
    """A server that this benchmark did not start."""
    address = os.environ.get(ADDRESS)
    if not address:
        return {}
    if os.environ.get(BINARY):
        raise SettingsError(f"{BINARY} and {ADDRESS} are both set: unset one")
    found = _HOST_AND_PORTS.fullmatch(address)
    if not found:
        raise SettingsError(f"{ADDRESS} is {address!r}; expected HOST:GRPC_PORT or HOST:GRPC_PORT:REST_PORT")
    host, port, rest_port = found.groups()
    return {REAL: Endpoint(f"{host}:{port}", f"{host}:{rest_port}" if rest_port else None)}


def _measure_requests(place: _Place, plan: _Plan, elsewhere: dict[str, Endpoint], console: Console) -> Results:
    """Every shape on every server, in turns, round by round; `elsewhere` are servers that run already."""
    results: Results = {}
    with contextlib.ExitStack() as stack:
        limit, clients = (stack.enter_context(LoadProcess(place.items)) for _ in range(2))
        endpoints: dict[str, Endpoint] = {}
        for name, command in _servers().items():
            for suffix, flags in (("", ()), (BATCHING, _BATCHING_FLAGS)):
                server = serving(command, place.model, place.base_path, *flags)
                endpoints[name + suffix] = stack.enter_context(server)
        endpoints |= elsewhere

        def measure(key: Key, target: str, process: LoadProcess, owner: LoadProcess | Endpoint) -> None:
            outcome = process.run(Load(key.transport, target, place.model, key.shape, plan.seconds))
            results.setdefault(key, Measured()).add(outcome, owner.memory)

        for number, shape in itertools.product(range(plan.rounds), plan.shapes()):
            console.print(f"round {number + 1} of {plan.rounds}: {shape}", style="dim", highlight=False)
            measure(Key(shape, IN_PROCESS, IN_PROCESS), str(place.base_path / "1"), limit, limit)
            for name, endpoint in endpoints.items():
                measure(Key(shape, name, GRPC), endpoint.grpc, clients, endpoint)
                if endpoint.rest:
                    measure(Key(shape, name, REST), endpoint.rest, clients, endpoint)
    return results


def _measure_swaps(place: _Place, plan: _Plan, console: Console) -> list[Swaps]:
    """Versions pushed one after the other to a server that batches, while clients ask it over gRPC and REST."""
    measured = []
    for name, command in _servers().items():
        with contextlib.ExitStack() as stack:
            server = serving(command, place.model, place.base_path, *_BATCHING_FLAGS)
            endpoint = stack.enter_context(server)
            targets = {GRPC: endpoint.grpc, REST: endpoint.rest or ""}
            clients = [stack.enter_context(LoadProcess(place.items)) for _ in targets]
            for process, (transport, target) in zip(clients, targets.items(), strict=True):
                process.begin(Load(transport, target, place.model, Shape(1, 32, plan.rate / len(targets))))
            memory = []
            for number in range(plan.swaps):
                swap(endpoint, place.model, place.base_path)
                assert endpoint.memory is not None  # It is a process of ours.
                memory.append(endpoint.memory)
                if (number + 1) % 10 == 0:
                    line = f"{name}: {number + 1} of {plan.swaps} swaps, {memory[-1]:.0f} MB"
                    console.print(line, style="dim", highlight=False)
            for process in clients:
                process.stop()
            measured.append(Swaps(name + BATCHING, memory, [process.outcome() for process in clients]))
    return measured


if __name__ == "__main__":
    main(bench_serve, "bench-serve")
