"""Prints the summary at the end of a run."""

import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.evaluator.report import OVERALL, EvaluationReport
from components.example_gen.spans import is_dated, span_name
from pipeline.cli.output import make_table
from pipeline.metadata.runs import RunSummary
from pipeline.settings import EvaluatorSettings, Settings
from schema.data_set import LABEL, DataSet, describe_slice
from schema.wording import amount

_TITLE: dict[str, Any] = {"title_justify": "left", "title_style": "bold"}


def print_summary(console: Console, summary: RunSummary, settings: Settings, run_id: str, log: Path) -> None:
    """Prints data, drift, metrics with baseline and thresholds, the verdicts, and the next command to run."""
    pattern = settings.data.train_pattern or ""
    if summary.ingestion:
        console.print(_data_line(summary.ingestion, pattern), markup=False, highlight=False, soft_wrap=True)
        for line in _span_lines(summary, pattern, run_id):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if summary.drift:
        console.print(_drift_table(summary, pattern))
    if summary.evaluation:
        console.print(
            _metrics_table(summary.evaluation, summary.baseline_model, settings.evaluator, settings.data.data_set())
        )
        console.print(_confusion_table(summary.evaluation))
    if summary.not_calibrated:
        line = f"probabilities are not calibrated, the temperature is 1: {summary.not_calibrated}"
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for line in _verdict(summary):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"log: {log}", style="dim", markup=False, highlight=False, soft_wrap=True)


def _data_line(ingestion: dict, pattern: str) -> str:
    span = span_name(ingestion["span"], pattern)
    return (
        f"data: {amount(ingestion['rows_read'], 'row')} read from {ingestion['source']}, span {span}: "
        f"{ingestion['rows_train']:,} train, {ingestion['rows_val']:,} val, {ingestion['rows_test']:,} test; "
        f"{ingestion['rows_quarantined']:,} quarantined, {amount(ingestion['duplicates'], 'duplicate')}, "
        f"{ingestion['train_test_overlap']:,} in both train and test"
    )


def _span_lines(summary: RunSummary, pattern: str, run_id: str) -> list[str]:
    lines = []
    span = summary.ingestion["span"] if summary.ingestion else None
    window = [span_name(one, pattern) for one in summary.window]
    if summary.window and summary.window != [span]:
        lines.append(f"window: {_spans(window)} train, the test rows are those of {window[-1]}")
        if span not in summary.window:
            lines.append("this span is accepted, but older than the window: it does not train")
    if summary.trained_in not in (None, run_id):
        what = _spans(window) if is_dated(pattern) else "this model"
        lines.append(f"nothing new: {what} trained in run {summary.trained_in}")
    return lines


def _spans(names: list[str]) -> str:
    if len(names) == 1:
        return f"span {names[0]}"
    return f"spans {', '.join(names[:-1])} and {names[-1]}"


def _drift_table(summary: RunSummary, pattern: str) -> Table:
    before = (
        _spans([span_name(span, pattern) for span in summary.compared_with]) if is_dated(pattern) else "the run before"
    )
    table = make_table(title=f"drift against {before}", **_TITLE)
    table.add_column("feature", no_wrap=True)
    table.add_column("measure", no_wrap=True)
    splits = list(dict.fromkeys(drift.split for drift in summary.drift))
    for split in (*splits, "allowed"):
        table.add_column(split, justify="right")
    rows: dict[tuple[str, str, float], dict[str, float]] = {}
    for drift in summary.drift:
        rows.setdefault((drift.feature, drift.measure, drift.threshold), {})[drift.split] = drift.value
    for (feature, measure, threshold), values in rows.items():
        table.add_row(feature, measure, *(_number(values.get(split)) for split in splits), f"≤ {threshold:g}")
    return table


def _metrics_table(
    report: EvaluationReport, baseline_model: int | None, thresholds: EvaluatorSettings, data_set: DataSet
) -> Table:
    table = make_table(title="test split", **_TITLE)
    table.add_column("slice", no_wrap=True)
    for column in ("rows", "accuracy", "baseline", "change", "required", "precision", "F1", "AUC"):
        table.add_column(column, justify="right")
    bounds = {OVERALL: thresholds.min_accuracy, **thresholds.min_slice_accuracy}
    for name in report.slices(data_set):
        values = report.metrics[name]
        class_name = name.removeprefix(f"{LABEL}=") if name.startswith(f"{LABEL}=") else None
        overall = report.metrics[OVERALL]
        before = report.baseline.get(name, {}).get("accuracy")
        required = thresholds.min_label_recall if class_name else bounds.get(name)
        table.add_row(
            escape(describe_slice(name)),
            f"{values['example_count']:,.0f}",
            f"{values['accuracy']:.4f}",
            _number(before),
            f"{values['accuracy'] - before:+.4f}" if before is not None else "",
            f"≥ {required}" if required is not None else "",
            # Precision and F1 of a class are computed over all rows: its own slice has no false positives.
            _number(overall.get(f"precision/{class_name}")),
            _number(overall.get(f"f1/{class_name}")),
            # A length slice may lack a class, and then has no AUC.
            _number(overall.get(f"auc/{class_name}") if class_name else values["auc"] if name == OVERALL else None),
        )
    if baseline_model is None:
        table.caption = "no baseline: no other blessed model is there"
        table.caption_justify = "left"
    return table


def _confusion_table(report: EvaluationReport) -> Table:
    table = make_table("true class", title="confusion", **_TITLE)
    for name in report.class_names:
        table.add_column(f"as {name}", justify="right")
    for name, counts in zip(report.class_names, report.confusion, strict=True):
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _verdict(summary: RunSummary) -> list[str]:
    if summary.waiting:
        return [f"[bold yellow]not pushed yet[/]: {escape(summary.waiting)}"]
    if summary.skipped:
        return [f"[bold yellow]skipped[/]: {escape(summary.skipped)}; the last pushed model stays in place"]
    if summary.pushed_to is None:
        lines = ["[bold red]not pushed[/]", *(f"  {escape(reason)}" for reason in summary.refusals)]
        lines.append("the last pushed model stays in place; next: change the settings (agnews config keys), run again")
        return lines
    version = summary.pushed_to.rpartition("/")[2]
    if "://" not in summary.pushed_to and not Path(summary.pushed_to).exists():
        place = escape(summary.pushed_to)
        return [
            f"[bold yellow]blessed and pushed earlier[/] as version {version}, no longer at {place}",
            "next: agnews run --no-cache",
        ]
    # The command is in the directory of this interpreter, which may not be on the PATH.
    agnews = escape(shlex.quote(str(Path(sys.executable).with_name("agnews"))))
    model = escape(shlex.quote(summary.pushed_to.rpartition("/")[0]))
    return [
        f"[bold green]blessed and pushed[/] as version {version}: {escape(summary.pushed_to)}",
        f"next, serve it: {agnews} serve --model_name={summary.pushed_to.split('/')[-2]} --model_base_path={model}",
        f'and ask it: {agnews} classify "TEXT"',
    ]
