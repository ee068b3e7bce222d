"""`make bench-review`: measures the review site's response times with thousands of simulated runs."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.review_store import SimulatedStore
from pipeline.cli import main
from pipeline.metadata.store_reader import StoreReader
from schema.metadata import EXAMPLES, MODEL, PUSHED_MODEL
from serving.this_machine import proxy_mounts

_LIMIT_MILLISECONDS = 300.0
_START_SECONDS = 300.0
_SERVED = 20


@click.command(epilog="Example:  make bench-review ARGS='--runs 500'")
@click.option("--runs", type=click.IntRange(min=20), default=2_000, show_default=True, help="Simulated runs.")
@click.option("--requests", type=click.IntRange(min=2), default=20, show_default=True, help="Requests to each page.")
def review(runs: int, requests: int) -> None:
    """Simulate RUNS runs, serve them with `agnews review`, and request all pages in turn.

    Each request is for another run, model or artifact, spread over the whole store. One run is added halfway, so the
    times include reading changes. The CPU time is the server's, so other load on the machine does not affect it. Exits
    with status 1 if the 95th percentile of a page exceeds 300 ms.
    """
    console = Console(width=110)
    with TemporaryDirectory() as place:
        root = Path(place)
        simulated = SimulatedStore(root)
        began = time.perf_counter()
        simulated.add_runs(runs)
        simulated.serve(root / "serving_model", _SERVED)
        console.print(f"{runs:,} runs simulated in {time.perf_counter() - began:.0f} s")
        pages = _addresses(simulated, requests)
        with _site(root, console) as (client, server):
            times: dict[str, list[float]] = {name: [] for name in pages}
            busy = dict.fromkeys(pages, 0.0)
            for turn in range(requests):
                if turn == requests // 2:
                    simulated.add_runs(1)
                for name, addresses in pages.items():
                    before, began = _cpu_seconds(server), time.perf_counter()
                    client.get(addresses[turn]).raise_for_status()
                    times[name].append(1000 * (time.perf_counter() - began))
                    busy[name] += 1000 * (_cpu_seconds(server) - before)
    table = Table("page", box=None, pad_edge=False)
    for column in ("p50, ms", "p95, ms", "max, ms", "mean CPU, ms"):
        table.add_column(column, justify="right")
    slow = [name for name, found in times.items() if np.percentile(found, 95) > _LIMIT_MILLISECONDS]
    for name, found in times.items():
        figures = (np.percentile(found, 50), np.percentile(found, 95), max(found), busy[name] / requests)
        table.add_row(name, *(f"{figure:.0f}" for figure in figures), style="red" if name in slow else "")
    console.print(table)
    if slow:
        sys.exit(1)


def _addresses(simulated: SimulatedStore, requests: int) -> dict[str, list[str]]:
    """Returns the URLs to request for each page, by the page's name."""
    snapshot = StoreReader(simulated.connection).snapshot()

    def spread(numbers: list[int]) -> list[int]:
        return [numbers[index] for index in np.linspace(0, len(numbers) - 1, requests).astype(int)]

    models = spread([artifact.id for artifact in snapshot.of_type(MODEL)])
    runs = spread(list(snapshot.runs))
    ingested = spread([one.id for one in snapshot.of_type(EXAMPLES) if "source" in one.properties])
    pushed = spread([artifact.id for artifact in snapshot.of_type(PUSHED_MODEL)])
    pages = len(snapshot.runs) // 50
    return {
        "/served": ["/served"] * requests,
        "/runs, sorted by accuracy": [f"/runs?sort=accuracy&page={1 + turn % pages}" for turn in range(requests)],
        "/runs, filtered": ["/runs?status=failed"] * requests,
        "/runs/…": [f"/runs/{run}" for run in runs],
        "/runs/…/data": [f"/runs/{run}/data" for run in runs],
        "/models": [f"/models?page={1 + turn}" for turn in range(requests)],
        "/models/…": [f"/models/{model}" for model in models],
        "/models/…/card": [f"/models/{model}/card" for model in models],
        "/compare": [
            f"/compare?first={first}&second={second}" for first, second in zip(models, models[::-1], strict=True)
        ],
        "/lineage/…, of a version": [f"/lineage/{number}" for number in pushed],
        "/lineage/…, from data": [f"/lineage/{number}?way=down" for number in ingested],
        "/approvals": ["/approvals?status=pending"] * requests,
        "/spans": ["/spans"] * requests,
        "/spans/…": [f"/spans/{turn % (len(snapshot.runs) // 10)}" for turn in range(requests)],
        "/trends": [f"/trends?page={1 + turn}" for turn in range(requests)],
    }


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def _site(root: Path, console: Console) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Starts the site as a user does and yields a client and the server's process."""
    settings = [f"pipeline.root={root}", f"pusher.destination={root}/serving_model"]
    command = [sys.executable, "-m", "pipeline", "review", "--port", "0"]
    command += [word for setting in settings for word in ("--set", setting)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = re.match(r"http://\S+", process.stdout.readline())
        if address is None:
            raise click.ClickException(f"agnews review did not start: {' '.join(command)}")
        seconds, busy = time.perf_counter() - began, _cpu_seconds(psutil.Process(process.pid))
        console.print(f"started in {seconds:.1f} s, including the import of TensorFlow Extended; {busy:.1f} s CPU time")
        with httpx.Client(
            base_url=address.group(), timeout=_START_SECONDS, mounts=proxy_mounts(address.group())
        ) as client:
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main(review, "bench-review")
