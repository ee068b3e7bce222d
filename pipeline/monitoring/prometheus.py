"""Writes a monitoring report for Prometheus, as a file of node_exporter's textfile collector."""

from datetime import datetime
from pathlib import Path

import prometheus_client

from pipeline.monitoring.report import Report
from schema.files import replace_file


def write_metrics(report: Report, path: Path) -> None:
    """Writes the figures of a report in Prometheus's text format; the file is replaced atomically.

    Args:
        report: the report.
        path: the file; the textfile collector reads files whose names end in `.prom`.
    """
    replace_file(path, to_metrics(report), mode=0o644, follow_links=True)


def to_metrics(report: Report) -> bytes:
    """Returns the figures of a report in Prometheus's text format. All are gauges with the labels model and version."""
    registry = prometheus_client.CollectorRegistry()
    served = {"model": report.model, "version": str(report.version)}

    def gauge(name: str, text: str, value: float, **labels: str) -> None:
        full = f"agnews_monitoring_{name}"
        if (metric := gauges.get(full)) is None:
            metric = gauges[full] = prometheus_client.Gauge(full, text, [*served, *labels], registry=registry)
        metric.labels(**served, **labels).set(value)

    gauges: dict[str, prometheus_client.Gauge] = {}
    latest = report.windows[-1]
    gauge("report_time_seconds", "Time of the report, POSIX seconds", datetime.fromisoformat(report.made).timestamp())
    gauge("window_time_seconds", "Start of the latest window", datetime.fromisoformat(latest.start).timestamp())
    gauge("texts", "Texts of the log", report.rows)
    gauge("window_texts", "Texts of the latest window", latest.rows)
    gauge("confidence", "Mean probability of the predicted class in the latest window", latest.confidence)
    gauge("text_length", "Mean number of characters in the latest window", latest.text_length)
    if latest.unknown_share is not None:
        gauge("unknown_share", "Mean share of unknown words in the latest window", latest.unknown_share)
    for name, share in latest.classes.items():
        gauge("class_share", "Share of a predicted class in the latest window", share, **{"class": name})
    for kind, comparisons in (("skew", report.skew), ("drift", latest.drift)):
        for one in comparisons:
            labels = {"kind": kind, "signal": one.signal}
            gauge("changed", "1 if a signal changed", float(one.alert), **labels)
            gauge("threshold", "Distance above which a change matters", one.threshold, **labels)
            if one.distance is not None:
                gauge("distance", "Distance of a signal from its reference", one.distance, **labels)
    gauge("alerts", "Changes that the report contains", len(report.alerts))
    if quality := report.quality:
        shares = {"all": quality.accuracy, **quality.recalls}
        for name, proportion in shares.items():
            labels = {"class": name}
            gauge("labelled_items", "Labelled items", proportion.rows, **labels)
            gauge("labelled_accuracy", "Share of labelled items that are right", proportion.share, **labels)
            gauge("labelled_accuracy_low", "Lower end of the 95 % interval", proportion.low, **labels)
            gauge("labelled_accuracy_high", "Upper end of the 95 % interval", proportion.high, **labels)
        if quality.expected is not None:
            gauge("test_accuracy", "Accuracy on test rows", quality.expected.share)
        gauge("accuracy_fell", "1 if the accuracy is significantly lower than on test rows", float(quality.alert))
    return prometheus_client.generate_latest(registry)
