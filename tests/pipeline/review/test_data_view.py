import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from pipeline.review.data_view import features_of


def shown(titles):
    # In memory, TensorFlow Data Validation takes its sketches: 1,024 values are counted exactly.
    statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"title": titles}), n_jobs=1)
    [feature] = features_of(statistics.datasets[0], "train")
    return feature.figures["different values"], feature.values


def test_the_most_frequent_values_are_shown_with_their_counts():
    assert shown(["a", "b", "a", "c"]) == ("3", (("a", 2),))


def test_estimates_are_called_so_and_values_that_are_not_known_to_be_frequent_are_not_shown():
    different, values = shown([f"title {number % 4_000}" for number in range(6_000)])
    assert different.startswith("about ")
    assert float(different.removeprefix("about ").replace(",", "")) == pytest.approx(4_000, rel=0.1)
    assert values == ()
