import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from pipeline.review.pages.data import summarize_features


def shown(titles):
    # For data in memory, TensorFlow Data Validation uses sketches that count up to 1,024 values exactly.
    statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"title": titles}), n_jobs=1)
    [feature] = summarize_features(statistics.datasets[0], "train")
    return feature.figures["distinct values"], feature.values


def test_frequent_values_are_listed_with_their_counts():
    assert shown(["a", "b", "a", "c"]) == ("3", (("a", 2),))


def test_estimated_counts_are_marked_and_not_listed():
    distinct, values = shown([f"title {number % 4_000}" for number in range(6_000)])
    assert distinct.startswith("about ")
    assert float(distinct.removeprefix("about ").replace(",", "")) == pytest.approx(4_000, rel=0.1)
    assert values == ()
