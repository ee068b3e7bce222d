"""What came in with a run, as a page shows it: the figures of each feature, histograms, and anomalies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.model_card.document import Plot
from pipeline.review.charts import histogram
from schema.features import CLASS_NAMES, LABEL

_Info = anomalies_pb2.AnomalyInfo
_MOST_VALUES = 12


@dataclass(frozen=True)
class Feature:
    """A feature of a split.

    Attributes:
        name: of the feature.
        figures: what is known of it, by name.
        values: the most frequent ones with their number; empty where each is rare.
        plot: of its numbers, None where it has none.
    """

    name: str
    figures: dict[str, str]
    values: tuple[tuple[str, int], ...]
    plot: Plot | None


@dataclass(frozen=True)
class Anomaly:
    """Why the data of a split is not what the schema says; `severity` is ERROR or WARNING."""

    split: str
    feature: str
    severity: str
    reason: str


def features_of(dataset: statistics_pb2.DatasetFeatureStatistics, split: str) -> list[Feature]:
    """The features in the order of the statistics."""
    return [_feature(feature, split) for feature in dataset.features]


def _feature(feature: Any, split: str) -> Feature:
    name = ".".join(feature.path.step) or feature.name
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind)
    common = stats.common_stats
    figures = {"rows": f"{common.num_non_missing:,}", "missing": f"{common.num_missing:,}"}
    if kind == "num_stats":
        figures |= {
            "mean": f"{stats.mean:,.2f}",
            "standard deviation": f"{stats.std_dev:,.2f}",
            "lowest": f"{stats.min:,g}",
            "median": f"{stats.median:,g}",
            "highest": f"{stats.max:,g}",
        }
        standard = [one for one in stats.histograms if one.type == statistics_pb2.Histogram.STANDARD and one.buckets]
        buckets = [(one.low_value, one.high_value, one.sample_count) for one in standard[0].buckets] if standard else []
        plot = histogram(f"histogram-{split}-{name}", f"{name} in {split}", buckets) if buckets else None
        return Feature(name, figures, (), plot)
    if kind == "string_stats":
        counted = _counted(stats)
        different = f"{'' if counted else 'about '}{stats.unique:,}"
        figures |= {"different values": different, "mean length": f"{stats.avg_length:,.1f}"}
        listed = stats.rank_histogram.buckets[:_MOST_VALUES] if counted else []
        ranked = [(one.label, round(one.sample_count)) for one in listed]
        # A text that stands once says nothing about the others.
        common_values = [(_shown(name, value), count) for value, count in ranked if count > 1]
        return Feature(name, figures, tuple(common_values), None)
    return Feature(name, figures, (), None)


def _counted(stats: Any) -> bool:
    """Whether the values were counted, not estimated (`data.exact_statistics`).

    The sketches are exact as long as they hold all values. Beyond that they give each a count that is too high: what
    is listed, and once each value that is not, are together more than there are.
    """
    listed = stats.rank_histogram.buckets
    least = sum(one.sample_count for one in listed) + stats.unique - len(listed)
    return bool(least <= stats.common_stats.tot_num_values)


def _shown(feature: str, value: str) -> str:
    if feature == LABEL and value.isdecimal() and int(value) < len(CLASS_NAMES):
        return CLASS_NAMES[int(value)]
    return value if len(value) <= 80 else f"{value[:79]}…"


def listed(anomalies: anomalies_pb2.Anomalies, split: str) -> Iterator[Anomaly]:
    """One a reason."""
    for feature, info in sorted(anomalies.anomaly_info.items()):
        for reason in info.reason:
            yield Anomaly(split, feature, _Info.Severity.Name(info.severity), reason.description.strip())
    for reason in anomalies.dataset_anomaly_info.reason:
        severity = _Info.Severity.Name(anomalies.dataset_anomaly_info.severity)
        yield Anomaly(split, "all", severity, reason.description.strip())
    if anomalies.data_missing:
        yield Anomaly(split, "all", "ERROR", "there are no rows")
