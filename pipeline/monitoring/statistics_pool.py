"""Pools the statistics of several spans, as far as measuring drift requires."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2

_Features = Sequence[statistics_pb2.FeatureNameStatistics]


def pool_statistics(
    statistics: Sequence[statistics_pb2.DatasetFeatureStatisticsList],
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Adds up the frequencies of values and the histograms of numbers.

    Histograms differ in their buckets. Each is split at the bounds of all of them, with its rows spread evenly within a
    bucket, as TensorFlow Data Validation does when it compares two histograms. All other statistics are those of the
    first span.

    Args:
        statistics: statistics of one split in each span; at least one.
    """
    if len(statistics) == 1:
        return statistics[0]
    datasets = [one.datasets[0] for one in statistics]
    together = statistics_pb2.DatasetFeatureStatisticsList()
    together.CopyFrom(statistics[0])
    [dataset] = together.datasets
    dataset.num_examples = sum(one.num_examples for one in datasets)
    for feature in dataset.features:
        parts = [other for one in datasets for other in one.features if other.path == feature.path]
        if feature.HasField("string_stats"):
            _add_frequencies(feature, parts)
        elif feature.HasField("num_stats"):
            _add_histograms(feature, parts)
    return together


def _add_frequencies(feature: statistics_pb2.FeatureNameStatistics, parts: _Features) -> None:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update({bucket.label: bucket.sample_count for bucket in part.string_stats.rank_histogram.buckets})
    histogram = feature.string_stats.rank_histogram
    del histogram.buckets[:]
    for rank, (label, count) in enumerate(counts.most_common()):
        histogram.buckets.add(low_rank=rank, high_rank=rank, label=label, sample_count=count)


def _add_histograms(feature: statistics_pb2.FeatureNameStatistics, parts: _Features) -> None:
    histograms = [
        histogram
        for part in parts
        for histogram in part.num_stats.histograms
        if histogram.type == statistics_pb2.Histogram.STANDARD and histogram.buckets
    ]
    del feature.num_stats.histograms[:]
    if not histograms:  # No row has a value.
        return
    together = feature.num_stats.histograms.add(
        type=statistics_pb2.Histogram.STANDARD, num_nan=sum(histogram.num_nan for histogram in histograms)
    )
    bounds = np.unique([bound for histogram in histograms for bound in _bounds(histogram)])
    if len(bounds) == 1:  # If all rows have the same value, its bucket has no width.
        bounds = np.repeat(bounds, 2)
    counts = np.sum([_counts(histogram, bounds) for histogram in histograms], axis=0)
    for low, high, count in zip(bounds[:-1], bounds[1:], counts, strict=True):
        together.buckets.add(low_value=low, high_value=high, sample_count=count)


def _bounds(histogram: statistics_pb2.Histogram) -> list[float]:
    return [histogram.buckets[0].low_value, *(bucket.high_value for bucket in histogram.buckets)]


def _counts(histogram: statistics_pb2.Histogram, bounds: np.ndarray) -> np.ndarray:
    """Returns the histogram's rows between adjacent `bounds`, which include its own; float64 [bounds - 1]."""
    below = np.cumsum([0.0, *(bucket.sample_count for bucket in histogram.buckets)])
    at_bounds = np.interp(bounds, _bounds(histogram), below)
    at_bounds[0], at_bounds[-1] = 0.0, below[-1]
    return np.diff(at_bounds)
