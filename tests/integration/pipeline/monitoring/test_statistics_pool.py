"""Checks that the pooled statistics of two spans equal those of all their rows, as far as drift uses them."""

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from pipeline.monitoring.statistics_pool import pool_statistics
from schema.features import load_schema


def statistics(labels, lengths):
    options = tfdv.StatsOptions(schema=load_schema())
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame({"label": labels, "text_length": lengths}), options)


def distances(current, previous):
    found = tfdv.validate_statistics(current, load_schema(), previous_statistics=previous)
    return {info.path.step[0]: info.drift_measurements[0].value for info in found.drift_skew_info}


LOW = [index % 2 for index in range(300)], [100 + index % 100 for index in range(300)]
HIGH = [2 + index % 2 for index in range(100)], [150 + 2 * (index % 100) for index in range(100)]


def test_one_span_stays_as_it_is():
    one = statistics(*LOW)
    assert pool_statistics([one]) is one


def test_labels_are_counted_over_all_spans():
    both = pool_statistics([statistics(*LOW), statistics(*HIGH)])
    [label] = [feature for feature in both.datasets[0].features if feature.path.step[0] == "label"]
    counts = {bucket.label: bucket.sample_count for bucket in label.string_stats.rank_histogram.buckets}
    assert counts == {"0": 150, "1": 150, "2": 50, "3": 50}
    assert both.datasets[0].num_examples == 400


def test_a_histogram_of_all_spans_holds_each_row_once():
    both = pool_statistics([statistics(*LOW), statistics(*HIGH)])
    [length] = [feature for feature in both.datasets[0].features if feature.path.step[0] == "text_length"]
    [histogram] = length.num_stats.histograms
    assert sum(bucket.sample_count for bucket in histogram.buckets) == pytest.approx(400)
    assert (histogram.buckets[0].low_value, histogram.buckets[-1].high_value) == (100, 348)
    bound = next(bucket.low_value for bucket in histogram.buckets if bucket.low_value >= 200)
    beyond = sum(bucket.sample_count for bucket in histogram.buckets if bucket.low_value >= bound)
    assert beyond == pytest.approx(sum(length >= bound for length in LOW[1] + HIGH[1]), abs=2)


def test_the_distance_from_the_pool_is_that_from_all_rows_together():
    current = statistics([0] * 100 + [1] * 100, [120 + index for index in range(200)])
    of_pool = distances(current, pool_statistics([statistics(*LOW), statistics(*HIGH)]))
    of_rows = distances(current, statistics(*(low + high for low, high in zip(LOW, HIGH, strict=True))))
    assert of_pool["label"] == pytest.approx(of_rows["label"])
    assert of_pool["text_length"] == pytest.approx(of_rows["text_length"], abs=0.02)


def test_spans_of_one_and_the_same_length_pool_as_well():
    same = statistics([0, 1, 2, 3], [200] * 4)
    assert distances(same, pool_statistics([same, same])) == {"label": 0, "text_length": 0}
