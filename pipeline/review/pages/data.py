"""Pages about data: a run's statistics and anomalies, all spans, and one span with the models trained on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.model_card.document import Plot
from pipeline.charts import histogram
from pipeline.review import evidence
from pipeline.review.pages.runs import artifacts_of, find_run
from pipeline.review.pagination import paginate
from pipeline.review.site import render, site_of
from schema.data_set import AG_NEWS, LABEL
from schema.features import SPLITS
from schema.metadata import ANOMALIES, EXAMPLES, SCHEMA, STATISTICS

_Info = anomalies_pb2.AnomalyInfo
_MAX_VALUES = 12
_VALUE_LENGTH = 80


@dataclass(frozen=True)
class FeatureSummary:
    """Statistics of a feature in one split.

    Attributes:
        name: name of the feature.
        figures: formatted statistics by name.
        values: most frequent values with their counts; empty if every value is rare.
        plot: histogram of a numeric feature; None for other features.
    """

    name: str
    figures: dict[str, str]
    values: tuple[tuple[str, int], ...]
    plot: Plot | None


@dataclass(frozen=True)
class SplitAnomaly:
    """A violation of the schema in one split.

    Attributes:
        split: name of the split.
        feature: name of the feature, or "all" for the whole split.
        severity: ERROR or WARNING.
        reason: ExampleValidator's description.
    """

    split: str
    feature: str
    severity: str
    reason: str


def run_data_page(request: Request) -> Response:
    """`/runs/ID/data`: statistics of one split (`split`) and anomalies of all splits of a run."""
    index = site_of(request).index()
    row = find_run(index, request)
    outputs = {
        artifact.type: artifact
        for execution in index.snapshot.executions_of(row.run.id)
        for artifact in artifacts_of(index.snapshot, index.snapshot.outputs(execution.id))
        # Transform writes Examples too, but without the property source.
        if artifact.type != EXAMPLES or "source" in artifact.properties
    }
    split = request.query_params.get("split", SPLITS[0])
    if split not in SPLITS:
        raise HTTPException(404, f"unknown split {split!r}; the splits are {', '.join(SPLITS)}")
    examples, statistics, anomalies = (outputs.get(kind) for kind in (EXAMPLES, STATISTICS, ANOMALIES))
    schema = outputs.get(SCHEMA)
    classes = evidence.classes_of(schema.uri) if schema else AG_NEWS.class_names
    found = None
    if anomalies:
        found = [one for name in SPLITS for one in list_anomalies(evidence.anomalies_of(anomalies.uri, name), name)]
    return render(
        request,
        "data.html",
        row=row,
        examples=examples,
        statistics=statistics,
        anomalies=found,
        splits=SPLITS,
        split=split,
        features=summarize_features(evidence.statistics_of(statistics.uri, split), split, classes)
        if statistics
        else [],
    )


def list_spans(request: Request) -> Response:
    """`/spans`: all ingested spans with their row counts and models; `sort`, `order` and `page`."""
    index = site_of(request).index()
    rows = [(span, examples) for span, ingested in index.spans.items() for examples in ingested]
    keys = {
        "span": lambda row: (row[0], row[1].id),
        "rows": lambda row: row[1].properties.get("rows_read"),
        "quarantined": lambda row: row[1].properties.get("rows_quarantined"),
        "models": lambda row: len(index.trained_on(row[1].id)),
    }
    return render(request, "spans.html", table=paginate(request.query_params, rows, keys, sort="span"), index=index)


def span_page(request: Request) -> Response:
    """`/spans/N`: the models that were trained on a span, pushed ones first."""
    site = site_of(request)
    index = site.index()
    span = request.path_params["span"]
    if span not in index.spans:
        raise HTTPException(404, f"no rows of span {span} were ingested")
    ingested = index.spans[span]
    trained = {model.id: model for examples in ingested for model in index.trained_on(examples.id)}
    models = [trained[number] for number in sorted(trained)]
    return render(
        request,
        "span.html",
        span=span,
        ingested=ingested,
        pushed=[(model, version) for model in models for version in model.versions],
        others=[model for model in models if not model.versions],
        serving=site.serving(index),
        index=index,
    )


def summarize_features(
    dataset: statistics_pb2.DatasetFeatureStatistics, split: str, classes: Sequence[str] = AG_NEWS.class_names
) -> list[FeatureSummary]:
    """Summarizes the statistics of a split, in the order of its features."""
    return [_summarize(feature, split, classes) for feature in dataset.features]


def _summarize(feature: Any, split: str, classes: Sequence[str]) -> FeatureSummary:
    name = ".".join(feature.path.step) or feature.name
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind)
    common = stats.common_stats
    figures = {"rows": f"{common.num_non_missing:,}", "missing": f"{common.num_missing:,}"}
    if kind == "num_stats":
        figures |= {
            "mean": f"{stats.mean:,.2f}",
            "standard deviation": f"{stats.std_dev:,.2f}",
            "minimum": f"{stats.min:,g}",
            "median": f"{stats.median:,g}",
            "maximum": f"{stats.max:,g}",
        }
        standard = [one for one in stats.histograms if one.type == statistics_pb2.Histogram.STANDARD and one.buckets]
        buckets = [(one.low_value, one.high_value, one.sample_count) for one in standard[0].buckets] if standard else []
        plot = histogram(f"histogram-{split}-{name}", f"{name} in {split}", buckets) if buckets else None
        return FeatureSummary(name, figures, (), plot)
    if kind == "string_stats":
        exact = _has_exact_counts(stats)
        figures |= {"distinct values": f"{'' if exact else 'about '}{stats.unique:,}"}
        figures |= {"mean length": f"{stats.avg_length:,.1f}"}
        listed = stats.rank_histogram.buckets[:_MAX_VALUES] if exact else []
        # Values that occur once are not frequent.
        counts = [(one.label, round(one.sample_count)) for one in listed if round(one.sample_count) > 1]
        return FeatureSummary(
            name, figures, tuple((_display_value(name, one, classes), count) for one, count in counts), None
        )
    return FeatureSummary(name, figures, (), None)


def _has_exact_counts(stats: Any) -> bool:
    """Returns whether the values were counted exactly and not estimated (`data.exact_statistics`).

    The sketches are exact while they can hold all values. After that they overestimate each count, so the listed counts
    plus one for each unlisted value exceed the number of values.
    """
    listed = stats.rank_histogram.buckets
    minimum = sum(one.sample_count for one in listed) + stats.unique - len(listed)
    return bool(minimum <= stats.common_stats.tot_num_values)


def _display_value(feature: str, value: str, classes: Sequence[str]) -> str:
    if feature == LABEL and value.isdecimal() and int(value) < len(classes):
        return classes[int(value)]
    return value if len(value) <= _VALUE_LENGTH else f"{value[: _VALUE_LENGTH - 1]}…"


def list_anomalies(anomalies: anomalies_pb2.Anomalies, split: str) -> Iterator[SplitAnomaly]:
    """Yields one anomaly per reason."""
    for feature, info in sorted(anomalies.anomaly_info.items()):
        for reason in info.reason:
            yield SplitAnomaly(split, feature, _Info.Severity.Name(info.severity), reason.description.strip())
    for reason in anomalies.dataset_anomaly_info.reason:
        severity = _Info.Severity.Name(anomalies.dataset_anomaly_info.severity)
        yield SplitAnomaly(split, "all", severity, reason.description.strip())
    if anomalies.data_missing:
        yield SplitAnomaly(split, "all", "ERROR", "the split has no rows")
