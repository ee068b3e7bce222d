"""Displays the progress of a run: a live table on a terminal, otherwise plain lines."""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.runners.events import ComponentEvent, ProgressEvent, State
from schema.wording import amount

_SIGNS = {
    State.WAITING: ("·", "dim"),
    State.RUNNING: ("▶", "bold cyan"),
    State.DONE: ("✓", "green"),
    State.CACHED: ("=", "blue"),
    State.FAILED: ("✗", "bold red"),
    State.SKIPPED: ("-", "yellow"),
    State.STOPPED: ("■", "yellow"),
}
_PLAIN_INTERVAL = 10.0


def describe(event: ProgressEvent) -> str:
    """Formats a progress event for people: training progress as a sentence, other fields as name and value."""
    fields = dict(event.fields)
    if "epochs" in fields:
        metrics = ", ".join(
            f"{name} {fields[name]:.4f}" for name in ("loss", "accuracy", "val_accuracy") if name in fields
        )
        epoch = f"epoch {fields['epoch']}/{fields['epochs']} {fields['done']:.0%}"
        return f"{epoch}, {metrics}, {fields['rows_per_second']:,} rows/s"
    values = (
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value}"
        for name, value in fields.items()
    )
    return f"{event.event}: {', '.join(values)}" if fields else event.event


class PlainDisplay:
    """Prints one line per state change, and a progress line at most every ten seconds."""

    def __init__(self, console: Console):
        self._console = console
        self._last_report = 0.0

    def run_began(self, upstream: dict[str, list[str]]) -> None:
        self._print(f"{amount(len(upstream), 'component')}: {' → '.join(upstream)}")

    def component_changed(self, event: ComponentEvent) -> None:
        took = "" if event.state is State.RUNNING else f" ({event.seconds:.1f} s)"
        self._print(f"{event.component}: {event.state}{took}")

    def progressed(self, event: ProgressEvent) -> None:
        midway = "done" in event.fields and event.fields["done"] != 1.0
        if midway and time.monotonic() - self._last_report < _PLAIN_INTERVAL:
            return
        self._last_report = time.monotonic()
        self._print(f"{event.component}: {describe(event)}")

    def _print(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> "PlainDisplay":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class LiveDisplay:
    """Displays the DAG as a table that is redrawn four times a second. Use it as a context manager."""

    def __init__(self, console: Console):
        self._upstream: dict[str, list[str]] = {}
        self._events: dict[str, ComponentEvent] = {}
        self._began: dict[str, float] = {}
        self._reports: dict[str, ProgressEvent] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def run_began(self, upstream: dict[str, list[str]]) -> None:
        self._upstream = upstream

    def component_changed(self, event: ComponentEvent) -> None:
        if event.state is State.RUNNING:
            self._began[event.component] = time.monotonic()
        self._events[event.component] = event

    def progressed(self, event: ProgressEvent) -> None:
        self._reports[event.component] = event

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        if not self._upstream:
            return Text("loading TensorFlow Extended …", style="dim")
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("component", no_wrap=True)
        table.add_column("after", style="dim", overflow="fold", max_width=34)
        table.add_column("state", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("", overflow="fold")
        for component, upstream in self._upstream.items():
            event = self._events.get(component, ComponentEvent(component, State.WAITING))
            running = event.state is State.RUNNING
            seconds = time.monotonic() - self._began[component] if running else event.seconds
            sign, style = _SIGNS[event.state]
            table.add_row(
                Text(component, style=style),
                ", ".join(upstream),
                Text(f"{sign} {event.state}", style=style),
                f"{seconds:.0f} s" if event.state is not State.WAITING else "",
                self._report(component, running),
            )
        return table

    def _report(self, component: str, running: bool) -> RenderableType:
        report = self._reports.get(component)
        if report is None:
            return ""
        text = Text(describe(report), style="" if running else "dim")
        if running and "epochs" in report.fields:
            fields = report.fields
            done = (fields["epoch"] - 1 + fields["done"]) / fields["epochs"]
            return Group(ProgressBar(total=1.0, completed=done, width=30), text)
        return text
