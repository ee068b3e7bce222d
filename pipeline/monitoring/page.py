"""Writes a monitoring report as JSON, as a self-contained HTML page and as a picture."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from components.model_card.document import Plot, template_environment
from pipeline.charts import Series, line_chart
from pipeline.monitoring.archive import HTML_FILE
from pipeline.monitoring.report import (
    CONFIDENCE,
    JSON_FILE,
    SIGNAL_NAMES,
    UNKNOWN_SHARE,
    Report,
    readable_moment,
    readable_p,
)
from schema.features import LABEL, TEXT_LENGTH
from schema.files import replace_file
from schema.wording import amount

PICTURE_FILE = "monitoring.png"


@dataclass(frozen=True)
class _Panel:
    """A signal over all windows; `changed` contains the indexes of windows with an alert."""

    signal: str
    title: str
    series: Series
    changed: tuple[int, ...]


def write_report(report: Report, directory: Path) -> None:
    """Writes `monitoring.json`, `monitoring.html` and `monitoring.png`; each file is replaced atomically.

    Args:
        report: report to write.
        directory: created if it does not exist.
    """
    directory.mkdir(parents=True, exist_ok=True)
    panels = _panels(report)
    replace_file(directory / HTML_FILE, _page(report, panels).encode())
    picture = io.BytesIO()
    _picture(report, panels).savefig(picture, format="png", dpi=110)
    replace_file(directory / PICTURE_FILE, picture.getvalue())
    # Written last: a report counts as complete once its JSON exists.
    replace_file(directory / JSON_FILE, report.to_json().encode())


def _panels(report: Report) -> list[_Panel]:
    names = list(report.windows[0].classes) if report.windows else []
    series: Mapping[str, Series] = {
        LABEL: {name: [window.classes[name] for window in report.windows] for name in names},
        CONFIDENCE: {"mean": [window.confidence for window in report.windows]},
        TEXT_LENGTH: {"mean": [window.text_length for window in report.windows]},
        UNKNOWN_SHARE: {"mean": [window.unknown_share for window in report.windows]},
    }
    titles = {
        LABEL: "Share of each predicted class",
        CONFIDENCE: "Mean probability of the predicted class",
        TEXT_LENGTH: "Mean text length, characters",
        UNKNOWN_SHARE: "Mean share of unknown words",
    }
    return [
        _Panel(signal, titles[signal], lines, _changed_windows(report, signal))
        for signal, lines in series.items()
        if any(value is not None for values in lines.values() for value in values)
    ]


def _changed_windows(report: Report, signal: str) -> tuple[int, ...]:
    return tuple(
        number
        for number, window in enumerate(report.windows)
        if any(one.alert and one.signal == signal for one in window.drift)
    )


def _page(report: Report, panels: list[_Panel]) -> str:
    environment = template_environment("pipeline.monitoring")
    environment.filters["p"] = readable_p
    environment.filters["moment"] = readable_moment
    # A line needs two points; the table has the values of a single window.
    plots = [_plot(report, panel) for panel in panels] if len(report.windows) > 1 else []
    return environment.get_template("monitoring.html.j2").render(
        report=report, plots=plots, quality_plot=_quality_plot(report), signals=SIGNAL_NAMES
    )


def _quality_plot(report: Report) -> Plot | None:
    """Draws the accuracy of each day with its interval, or returns None if there are no two days."""
    quality = report.quality
    if quality is None or len(quality.days) < 2:
        return None
    days = list(quality.days.values())
    series: Series = {
        "accuracy": [day.share for day in days],
        "lower end": [day.low for day in days],
        "upper end": [day.high for day in days],
    }
    worse = [number for number, day in enumerate(quality.days) if day in quality.worse_days]
    description = "; ".join(f"{day}: {accuracy} of {accuracy.rows}" for day, accuracy in quality.days.items())
    title = "Accuracy on labelled items by day, with its interval"
    return line_chart("quality", title, list(quality.days), series, description, height=200, highlighted=worse)


def _plot(report: Report, panel: _Panel) -> Plot:
    labels = [_short_moment(window.start) for window in report.windows]
    description = _description(report, panel)
    return line_chart(
        panel.signal, panel.title, labels, panel.series, description, height=200, highlighted=panel.changed
    )


def _description(report: Report, panel: _Panel) -> str:
    parts = []
    for label, values in panel.series.items():
        known = [value for value in values if value is not None]
        if known:
            parts.append(f"{label} between {min(known):.4g} and {max(known):.4g}, {known[-1]:.4g} at the end")
    starts = [window.start for window in report.windows]
    changed = "no change detected"
    if panel.changed:
        changed = f"changed in {amount(len(panel.changed), 'window')}, the first at {starts[panel.changed[0]]}"
    return f"{amount(len(starts), 'window')} from {starts[0]} to {starts[-1]}: {'; '.join(parts)}; {changed}."


def _short_moment(moment: str) -> str:
    return moment[5:16].replace("T", " ")


def _picture(report: Report, panels: list[_Panel]) -> Figure:
    figure = Figure(figsize=(11, 2.2 * len(panels)), layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False).flat, panels, strict=True):
        for window in panel.changed:
            axes.axvspan(window - 0.5, window + 0.5, color="tab:red", alpha=0.2, linewidth=0)
        for label, values in panel.series.items():
            axes.plot(range(len(values)), [float("nan") if value is None else value for value in values], label=label)
        axes.set_title(panel.title, loc="left", fontsize=10)
        axes.grid(alpha=0.3)
        if len(panel.series) > 1:
            axes.legend(ncols=4, fontsize=8, loc="upper left")
    step = max(1, -(-len(report.windows) // 8))
    shown = range(0, len(report.windows), step)
    axes.set_xticks(list(shown), [_short_moment(report.windows[number].start) for number in shown])
    figure.suptitle(f"{report.model}, version {report.version}: red marks detected changes")
    return figure
