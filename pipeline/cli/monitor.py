"""`agnews monitor`: detects changes in the requests and responses of a served model."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.alerts import Event, Kind
from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import (
    check_file,
    hide_library_output,
    make_console,
    make_table,
    report_write_errors,
    send_alert,
)
from pipeline.settings.sources import Loaded
from schema.errors import MonitoringAlert
from schema.wording import amount

if TYPE_CHECKING:
    from pipeline.monitoring.report import Report


@click.command(epilog="Example:  agnews monitor request_logs --version 1795578266")
@click.argument("logs", nargs=-1, required=True, type=LocalPath())
@click.option("--items", is_flag=True, help="LOGS are files of texts, or quoted patterns, as for agnews batch.")
@click.option("--model", help="Name of the served model  [default: pusher.model_name]")
@click.option(
    "--version",
    type=click.IntRange(min=1),
    help="Version to check  [default: that of the latest response, or the newest]",
)
@click.option(
    "--prometheus",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Also write the figures for Prometheus, for instance to a .prom file of node_exporter's textfile collector.",
)
@settings_options
def monitor(
    loaded: Loaded,
    logs: tuple[Path, ...],
    items: bool,
    model: str | None,
    version: int | None,
    prometheus: Path | None,
) -> None:
    """Compare a served model's request logs with its training data, earlier hours, and labels that people gave.

    LOGS are files or directories of PredictionLog TFRecords, as agnews serve and TensorFlow Serving's collectors write
    them. With --items, the model classifies up to monitoring.reference_rows rows of the files first, so that a change
    is found before `agnews batch` scores them. The command writes monitoring.json, monitoring.html and monitoring.png
    to a new directory in monitoring.directory, and agnews review shows them. It sends an alert for each change that the
    previous report on the version does not contain.

    Exit status: 0 no change; 11 changes, which are printed; 3 the logs cannot be used; 2 the report cannot be written.
    """
    settings = loaded.settings
    if prometheus:
        check_file("--prometheus", prometheus)
    if missing := [str(log) for log in logs if not items and not log.exists()]:
        raise click.BadParameter(f"Path '{missing[0]}' does not exist.", param_hint="'LOGS...'")
    if model is not None:
        settings = settings.model_copy(update={"pusher": settings.pusher.model_copy(update={"model_name": model})})
    with hide_library_output():
        from pipeline.metadata.connection import existing_store
        from pipeline.monitoring.archive import HTML_FILE, prune, report_path, reports_directory, stored_reports
        from pipeline.monitoring.monitor import monitor as look
        from pipeline.monitoring.page import write_report
        from pipeline.monitoring.prometheus import write_metrics

        directory = reports_directory(settings)
        report = look(settings, logs, existing_store(settings), version=version, now=datetime.now(UTC), items=items)
    last = next((found for kept in reversed(stored_reports(directory, report.version)) if (found := kept.read())), None)
    known = {alert.key for alert in last.alerts} if last else set()
    place = report_path(directory, report)
    _print(report)
    with report_write_errors("monitoring.directory", directory):
        write_report(report, place)
        prune(directory, settings.monitoring.kept_reports)
    if prometheus:
        with report_write_errors("--prometheus", prometheus):
            write_metrics(report, prometheus)
    click.echo(f"report: {place / HTML_FILE}")
    if new := [str(alert) for alert in report.alerts if alert.key not in known]:
        event = Event(Kind.SHIFT, f"version {report.version}", "\n".join(new), str(place / HTML_FILE))
        send_alert(settings, event, directory / "monitoring.log")
    if report.alerts:
        lines = [f"{alert}{' (already reported)' if alert.key in known else ''}" for alert in report.alerts]
        raise MonitoringAlert("\n  ".join([f"version {report.version} of {report.model}:", *lines]))


def _print(report: "Report") -> None:

    from pipeline.monitoring.report import SIGNALS, readable_p

    console = make_console(140)
    unjudged = sum(not window.drift for window in report.windows)
    click.echo(
        f"{report.model} version {report.version}: {amount(report.rows, 'text')} in "
        f"{amount(report.records, 'logged request')}, {amount(len(report.windows), 'window')} of "
        f"{report.window_hours} h from {report.windows[0].start} to "
        f"{report.windows[-1].start}; {unjudged} not judged: the first, and those with too few texts"
    )
    table = make_table("signal", "compared with")
    for column in ("rows", "distance", "threshold", "p", "verdict"):
        table.add_column(column, justify="right")
    for one in report.skew:
        distance = "" if one.distance is None else f"{one.distance:.3f}"
        verdict = "[red]changed[/]" if one.alert else "as before"
        cells = (f"{one.reference_rows:,}", distance, f"{one.threshold:g}", readable_p(one.p_value), verdict)
        table.add_row(SIGNALS[one.signal], one.against, *cells)
    for signal, name in SIGNALS.items():
        judged = [one for window in report.windows for one in window.drift if one.signal == signal]
        if judged:
            changed = sum(one.alert for one in judged)
            smallest = min(judged, key=lambda one: one.p_value)
            distance = "" if smallest.distance is None else f"{smallest.distance:.3f}"
            verdict = f"[red]changed in {changed}[/]" if changed else "as before"
            rows, p_value = f"{smallest.reference_rows:,}", readable_p(smallest.p_value)
            against = f"windows before, in {amount(len(judged), 'window')}"
            table.add_row(name, against, rows, distance, f"{smallest.threshold:g}", p_value, verdict)
    console.print(table)
    if quality := report.quality:
        test = f", on test rows {quality.expected}" if quality.expected else ""
        name, weakest = min(quality.recalls.items(), key=lambda item: item[1].share)
        click.echo(
            f"labels: {amount(quality.accuracy.rows, 'labelled item')}, accuracy {quality.accuracy}{test}; "
            f"mean confidence {quality.confidence:.3f}; lowest recall {weakest} of {name}"
        )
    for note in report.notes:
        click.echo(f"not compared: {note}")
    for reason, count in report.skipped.items():
        click.echo(f"left out: {count} × {reason}")
