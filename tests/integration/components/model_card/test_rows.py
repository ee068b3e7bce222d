from dataclasses import replace

import tensorflow as tf

from components.model_card.rows import read_test_rows
from schema.data_set import AG_NEWS


def test_rows_of_a_span_from_before_a_column_have_no_value_of_it(tmp_path):
    features = {name: tf.train.Feature(bytes_list={"value": [b"a"]}) for name in ("id", "title", "description")}
    features["length_bucket"] = tf.train.Feature(bytes_list={"value": [b"short"]})
    features["label"] = tf.train.Feature(int64_list={"value": [1]})
    example = tf.train.Example(features=tf.train.Features(feature=features))
    with tf.io.TFRecordWriter(str(tmp_path / "rows.gz"), "GZIP") as writer:
        writer.write(example.SerializeToString())
    data_set = replace(AG_NEWS, kept_columns=("desk",), id_column="Nr")
    assert read_test_rows(str(tmp_path), data_set).columns == {"desk": ["(none)"], "source_id": [""]}
