"""The tests say rarely that chance is a change, and miss no large one."""

import numpy as np
import pytest

from pipeline.monitoring.reference import Reference
from pipeline.monitoring.significance import classes_p_value, histogram_p_value, sample_p_value


def test_the_same_shares_are_no_change_and_others_are():
    assert classes_p_value([15, 15, 15, 15], [360, 360, 360, 360]) == 1.0
    assert classes_p_value([40, 10, 5, 5], [360, 360, 360, 360]) < 1e-8


def test_a_few_texts_of_a_rare_class_are_no_wonder():
    # The chi-square test's p is 1e-8 here, the true probability of five or more about 2e-4.
    assert 1e-4 < classes_p_value([50, 5], [1980, 20]) < 1e-2


def test_chance_is_called_a_change_no_oftener_than_the_level_says():
    generator = np.random.default_rng(0)
    reference = generator.gamma(6, 40, 1500).astype(int)
    p_values = [sample_p_value(generator.gamma(6, 40, 60).astype(int), reference) for _ in range(400)]
    assert np.mean(np.array(p_values) < 0.05) < 0.08


def test_a_sample_fits_the_histogram_that_it_is_drawn_from_and_no_other():
    generator = np.random.default_rng(0)
    values = generator.uniform(0, 4, 200)
    assert histogram_p_value(values, [1, 2, 3], [250, 250, 250, 250]) > 0.01
    assert histogram_p_value(values, [1, 2, 3], [700, 100, 100, 100]) < 1e-10


def test_a_bucket_without_width_goes_into_the_next(monkeypatch):
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import statistics_pb2

    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    feature = statistics.datasets.add().features.add(path={"step": ["text_length"]})
    histogram = feature.num_stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
    for low, high in ((1, 5), (5, 5), (5, 9), (9, 9)):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=10)
    assert Reference(statistics).lengths() == ([5], [10, 30])
    assert tfdv  # Registers the messages.


@pytest.mark.parametrize("count", [1, 20])
def test_small_samples_have_a_p_value(count):
    assert 0 <= sample_p_value(np.arange(count), np.arange(30)) <= 1
