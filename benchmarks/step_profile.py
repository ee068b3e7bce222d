"""`make bench-step`: shows where the time of a training step on the CPU goes, from a file of rows."""

import json
import os
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import click

from pipeline.cli import main
from pipeline.cli.options import LocalPath
from schema.errors import DataError

if TYPE_CHECKING:
    from components.trainer.rows_file import RowsFile
    from components.trainer.settings import Recipe

_SCHEDULING, _INPUT, _PYTHON, _IDLE = "scheduling of operations", "input pipeline", "Python", "idle"
_WAITING = "waiting for another thread"
# An operation belongs to the first part whose pattern matches its name.
_PARTS = {
    "recurrence, backward": r"gradient_tape/.*/recurrent_",
    "recurrence, forward": r"/recurrent_",
    "update of word vectors": r"/update/embedding",
    "update of the wide part": r"/update/wide",
    "sums by word and clipping": r"Unique|UnsortedSegmentSum|clip_by_global_norm",
    "update of other weights": r"/rowwise_adam_w",
    "wide part": r"/wide",
    "word vectors and their dropout": r"/embedding|/word_dropout",
    "pooling, last layer and loss": r"",
}
_ORDER = (*_PARTS, _SCHEDULING, _INPUT, _PYTHON, _IDLE)
_STEP, _MAIN = re.compile(r"_step_on_iterator$"), "Python's thread"


@dataclass(frozen=True)
class ProfileEvent:
    """An event of a thread in a profile.

    Attributes:
        part: part of the step that it belongs to.
        start: seconds since the profile began.
        end: the same for its end.
        own: seconds of the event without the events within it.
    """

    part: str
    start: float
    end: float
    own: float


@dataclass(frozen=True)
class StepProfile:
    """The events of some training steps.

    Attributes:
        steps: start and end of each step, in seconds since the profile began.
        threads: events of each thread, by its name.
    """

    steps: list[tuple[float, float]]
    threads: dict[str, list[ProfileEvent]]


@click.command(epilog="Example:  make bench-step ARGS='--input rows.npz --to /tmp'")
@click.option("--input", "path", type=LocalPath(), default="rows.npz", show_default=True, help="File of rows.")
@click.option("--first", type=click.IntRange(min=1), default=60, show_default=True, help="First step to measure.")
@click.option("--steps", type=click.IntRange(min=2), default=40, show_default=True, help="Number of steps to measure.")
@click.option("--to", "directory", type=LocalPath(), default="docs/images", show_default=True, help="For the plot.")
def bench_step(path: Path, first: int, steps: int, directory: Path) -> None:
    """Profile some training steps; print and plot the share of each part in the time of all cores.

    `make rows-file` writes the file of rows.
    """
    from components.trainer.rows_file import RowsFile

    profile = read_profile(record(RowsFile.read(path), first, steps))
    figures = summarize(profile, os.cpu_count() or 1)
    directory.mkdir(parents=True, exist_ok=True)
    plot(profile, figures, directory / "training_step.png")
    click.echo(json.dumps(figures))


def record(file: "RowsFile", first: int, steps: int) -> bytes:
    """Trains up to the last of the steps, and returns TensorFlow's profile of these steps.

    Raises:
        DataError: the rows are too few for so many steps.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from components.trainer.batches import Buckets
    from components.trainer.training import train
    from schema.splits import TRAIN, VAL

    recipe, rows, val_rows = cast("Recipe", file.recipe), file.rows[TRAIN], file.rows[VAL]
    available = Buckets(recipe.bucket_boundaries, recipe.batch_tokens).batch_count(rows)
    if available < first + steps:
        raise DataError(f"the rows make {available} batches, and {first + steps} are needed: lower --first or --steps")

    class ProfileSteps(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            update_step = self.model.optimizer.update_step

            def named_update_step(gradient, variable, learning_rate):
                with tf.name_scope("update/" + variable.name.partition(":")[0]):
                    update_step(gradient, variable, learning_rate)

            self.model.optimizer.update_step = named_update_step

        def on_train_batch_begin(self, batch, logs=None):
            if batch == first:
                tf.profiler.experimental.start(directory)

        def on_train_batch_end(self, batch, logs=None):
            if batch == first + steps - 1:
                tf.profiler.experimental.stop()
                self.model.stop_training = True

    with TemporaryDirectory() as directory:
        few = val_rows.select(np.arange(min(100, len(val_rows))))
        train(
            *(rows, few, file.words, recipe),
            checkpoint_root=os.path.join(directory, "checkpoints"),
            vectors=file.vectors,
            callbacks=[ProfileSteps()],
        )
        [written] = Path(directory).rglob("*.xplane.pb")
        return written.read_bytes()


def read_profile(content: bytes) -> StepProfile:
    """Reads a profile that TensorFlow wrote on a CPU."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    [plane] = [plane for plane in xplane_pb2.XSpace.FromString(content).planes if plane.name == "/host:CPU"]
    steps: list[tuple[float, float]] = []
    threads = {}
    for number, line in enumerate(plane.lines):
        spans = []
        for event in line.events:
            start = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
            spans.append((start, start + event.duration_ps * 1e-12, plane.event_metadata[event.metadata_id].name))
        found = sorted((start, end) for start, end, name in spans if _STEP.search(name))
        steps = steps or found
        thread = _MAIN if found else f"{_INPUT} {number}" if line.name.startswith("tf_data") else f"operations {number}"
        threads[thread] = list(_with_own_time(spans, thread))
    return StepProfile(steps, threads)


def _with_own_time(spans: Iterable[tuple[float, float, str]], thread: str) -> Iterator[ProfileEvent]:
    """Yields the events of a thread's spans of (start, end, name), which may contain each other."""
    opened: list[list[Any]] = []  # Start, end, name and own seconds of each span around the current one.
    for start, end, name in [*sorted(spans, key=lambda span: (span[0], -span[1])), (float("inf"), float("inf"), "")]:
        while opened and opened[-1][1] <= start:
            closed_start, closed_end, closed, own = opened.pop()
            yield ProfileEvent(_part(closed, thread), closed_start, closed_end, own)
        if opened:
            opened[-1][3] -= end - start
        opened.append([start, end, name, end - start])


def _part(name: str, thread: str) -> str:
    if thread.startswith(_INPUT):
        return _INPUT if name.startswith(("PyFunc", "Executor")) else _WAITING
    if thread == _MAIN:
        return {"KernelAndDeviceFunc::Run": _WAITING, "FunctionRun": _SCHEDULING}.get(name, _PYTHON)
    # The names of operations end in a colon and their kind.
    if "::" in name or ":" not in name:
        return _SCHEDULING
    return next(part for part, pattern in _PARTS.items() if re.search(pattern, name))


def summarize(profile: StepProfile, cores: int) -> dict[str, Any]:
    """Returns the median seconds of a step, and the share of each part in the time of all cores."""
    began, ended = profile.steps[0][0], profile.steps[-1][1]
    seconds = dict.fromkeys((*_ORDER, _WAITING), 0.0)
    for thread, events in profile.threads.items():
        within = [event for event in events if began <= event.start < ended]
        for event in within:
            seconds[event.part] += event.own
        if thread == _MAIN:  # Between its events, it runs Python, too.
            seconds[_PYTHON] = ended - began - sum(event.own for event in within if event.part != _PYTHON)
    del seconds[_WAITING]
    total = cores * (ended - began)
    seconds[_IDLE] = total - sum(seconds.values())
    return {
        "steps": len(profile.steps),
        "cores": cores,
        "seconds_per_step": statistics.median(end - start for start, end in profile.steps),
        "shares": {part: round(value / total, 4) for part, value in seconds.items()},
    }


def plot(profile: StepProfile, figures: dict[str, Any], path: Path) -> None:
    """Plots the shares of the parts, and what each thread did in the step of median length."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    bars, timeline = figure.subplots(2, 1, height_ratios=(3, 2))
    colors = dict(zip(_ORDER, colormaps["tab20"](range(len(_ORDER))).tolist(), strict=True)) | {
        _IDLE: "lightgrey",
        _WAITING: "white",
    }
    shares = [100 * figures["shares"][part] for part in _ORDER]
    labelled = bars.barh(_ORDER, shares, color=[colors[part] for part in _ORDER])
    bars.bar_label(labelled, [f"{share:.1f}" for share in shares], padding=3, fontsize=8)
    bars.invert_yaxis()
    bars.margins(x=0.08)
    bars.set(xlabel=f"% of the time of {figures['cores']} cores", title="Where the time of a training step goes")
    start, end = sorted(profile.steps, key=lambda step: step[1] - step[0])[len(profile.steps) // 2]
    step = {
        thread: [event for event in events if start <= event.start < end] for thread, events in profile.threads.items()
    }
    busy = {thread: events for thread, events in step.items() if {event.part for event in events} - {_WAITING}}
    for row, events in enumerate(busy.values()):
        events.sort(key=lambda event: event.start - event.end)  # An event is drawn over the longer one around it.
        spans = [(1e3 * (event.start - start), 1e3 * (event.end - event.start)) for event in events]
        timeline.broken_barh(spans, (row - 0.4, 0.8), facecolors=[colors[event.part] for event in events])
    timeline.set(xlabel="ms since the start of the step of median length", xlim=(0, 1e3 * (end - start)))
    timeline.set_yticks(range(len(busy)), list(busy))
    timeline.invert_yaxis()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(bench_step, "bench-step")
