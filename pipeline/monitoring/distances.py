"""How far apart two sets of rows are, by TensorFlow Data Validation's statistics and drift comparators."""

import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from pipeline.monitoring.report import CONFIDENCE, SIGNALS, UNKNOWN_SHARE
from schema.features import LABEL, TEXT_LENGTH, load_schema


def comparing_schema(class_threshold: float, divergence_threshold: float) -> schema_pb2.Schema:
    """The curated schema's label and text length, and the signals of answers, each with a comparator.

    The divergence is taken over quantiles: over TFDV's usual ten buckets of equal width, one text of 9,000 characters
    puts all others into one bucket.
    """
    schema = schema_pb2.Schema()
    schema.feature.extend(one for one in load_schema().feature if one.name in (LABEL, TEXT_LENGTH))
    for name in (CONFIDENCE, UNKNOWN_SHARE):
        schema.feature.add(name=name, type=schema_pb2.FLOAT)
    for feature in schema.feature:
        feature.ClearField("drift_comparator")
        if feature.name == LABEL:
            feature.drift_comparator.infinity_norm.threshold = class_threshold
        else:
            divergence = feature.drift_comparator.jensen_shannon_divergence
            divergence.threshold = divergence_threshold
            divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
    return schema


def statistics_of(rows: pd.DataFrame, schema: schema_pb2.Schema) -> statistics_pb2.DatasetFeatureStatisticsList:
    """TFDV's statistics of the signals' columns; one without any value is left out."""
    columns = [name for name in SIGNALS if name in rows and rows[name].notna().any()]
    return tfdv.generate_statistics_from_dataframe(rows[columns], tfdv.StatsOptions(schema=schema), n_jobs=1)


def distances(
    current: statistics_pb2.DatasetFeatureStatisticsList,
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
) -> dict[str, float]:
    """Of each signal that both have, the distance that the schema's comparator measures."""
    # TFDV complains of what the schema names and the statistics lack.
    common = _features(current) & _features(reference)
    compared = tfdv.validate_statistics(
        current,
        schema_pb2.Schema(feature=[one for one in schema.feature if one.name in common]),
        previous_statistics=reference,
    )
    return {
        # An approximation of nothing may be a little less.
        info.path.step[0]: max(measurement.value, 0.0)
        for info in compared.drift_skew_info
        for measurement in info.drift_measurements
    }


def _features(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> set[str]:
    return {feature.path.step[0] for feature in statistics.datasets[0].features}
