"""Reads the rows of Examples that drift is measured on."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import Artifact, artifact_utils

from components.validation_gate.drift import JENSEN_SHANNON, L_INFINITY, Limit, Rows
from schema.features import ID
from schema.news_items import TEXT_COLUMNS
from schema.paths import list_files

MAX_ROWS = 50_000
"""Number of rows of a split and span above which a sample is compared."""
_READ_BATCH = 4096
_DTYPES = {schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32, schema_pb2.BYTES: tf.string}


def limits_of(schema: schema_pb2.Schema) -> list[Limit]:
    """Returns the limits of the schema's drift comparators."""
    limits = []
    for feature in schema.feature:
        comparator = feature.drift_comparator
        if comparator.HasField("infinity_norm"):
            limits.append(Limit(feature.name, L_INFINITY, comparator.infinity_norm.threshold))
        if comparator.HasField("jensen_shannon_divergence"):
            # The divergence of a text feature's values needs no order; that of numbers needs buckets.
            measure = L_INFINITY if feature.type == schema_pb2.BYTES else JENSEN_SHANNON
            limits.append(Limit(feature.name, measure, comparator.jensen_shannon_divergence.threshold))
    return limits


def read_rows(examples: Sequence[Artifact], split: str, schema: schema_pb2.Schema, features: Sequence[str]) -> Rows:
    """Reads a split of one or several spans; of a large split, a sample that depends on the ids only.

    Args:
        examples: Examples, which may lack the split.
        split: name of the split.
        schema: the curated schema, which has the types of the features.
        features: features to read, and the texts; each row has one value of each.
    """
    types = {feature.name: _DTYPES[feature.type] for feature in schema.feature}
    spec = {name: tf.io.FixedLenFeature([], types[name]) for name in {*features, ID, *TEXT_COLUMNS}}
    parts = [
        _read(artifact_utils.get_split_uri([artifact], split), spec, features)
        for artifact in examples
        if split in artifact_utils.decode_split_names(artifact.split_names)
    ]
    return Rows.concatenate(parts)


def _read(directory: str, spec: dict[str, tf.io.FixedLenFeature], features: Sequence[str]) -> Rows:
    records = tf.data.TFRecordDataset(list_files(directory, "*"), compression_type="GZIP")
    rows = int(records.reduce(np.int64(0), lambda count, _: count + 1))
    values: dict[str, list[np.ndarray]] = {name: [] for name in features}
    texts: list[str] = []
    for batch in records.batch(_READ_BATCH).map(lambda one: tf.io.parse_example(one, spec)).as_numpy_iterator():
        # The first digits of the id decide between train and val.
        chosen = np.array([int(key[8:16], 16) * rows < MAX_ROWS * 2**32 for key in batch[ID]])
        for name in features:
            values[name].append(batch[name][chosen])
        columns = zip(*(batch[name][chosen] for name in TEXT_COLUMNS), strict=True)
        texts += [b" ".join(row).decode() for row in columns]
    return Rows({name: np.concatenate(parts) for name, parts in values.items()}, texts)
