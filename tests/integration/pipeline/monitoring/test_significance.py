"""The significance tests of monitoring detect large changes and rarely report noise."""

import numpy as np
import pytest

from components.statistics import class_counts_p_value, histogram_p_value, sample_p_value
from pipeline.monitoring.reference import Reference


def test_only_different_class_shares_are_significant():
    assert class_counts_p_value([15, 15, 15, 15], [360, 360, 360, 360]) == 1.0
    assert class_counts_p_value([40, 10, 5, 5], [360, 360, 360, 360]) < 1e-8


def test_a_few_texts_of_a_rare_class_are_not_highly_significant():
    # The chi-square test returns p = 1e-8 here; the true probability of five or more texts is about 2e-4.
    assert 1e-4 < class_counts_p_value([50, 5], [1980, 20]) < 1e-2


def test_false_positive_rate_is_at_most_the_significance_level():
    generator = np.random.default_rng(0)
    reference = generator.gamma(6, 40, 1500).astype(int)
    p_values = [sample_p_value(generator.gamma(6, 40, 60).astype(int), reference) for _ in range(400)]
    assert np.mean(np.array(p_values) < 0.05) < 0.08


def test_a_sample_only_fits_the_histogram_it_was_drawn_from():
    generator = np.random.default_rng(0)
    values = generator.uniform(0, 4, 200)
    assert histogram_p_value(values, [1, 2, 3], [250, 250, 250, 250]) > 0.01
    assert histogram_p_value(values, [1, 2, 3], [700, 100, 100, 100]) < 1e-10


def test_a_bucket_without_width_is_merged_into_the_next(monkeypatch):
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import statistics_pb2

    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    feature = statistics.datasets.add().features.add(path={"step": ["text_length"]})
    histogram = feature.num_stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
    for low, high in ((1, 5), (5, 5), (5, 9), (9, 9)):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=10)
    assert Reference(statistics).lengths() == ([5], [10, 30])
    assert tfdv  # Importing it registers the protobuf messages.


@pytest.mark.parametrize("count", [1, 20])
def test_small_samples_have_a_p_value(count):
    assert 0 <= sample_p_value(np.arange(count), np.arange(30)) <= 1
