"""The test rows that a card describes, and their slices."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from components.evaluator.report import OVERALL
from schema.data_set import AG_NEWS, DESCRIPTION, ID, LABEL, LENGTH_BUCKET, SOURCE_ID, TITLE, DataSet
from schema.paths import list_files

_READ_BATCH = 4096
_TEXTS = (ID, TITLE, DESCRIPTION, LENGTH_BUCKET)
_TEXT = tf.io.FixedLenFeature([], tf.string)
_FEATURES = {
    **dict.fromkeys(_TEXTS, _TEXT),
    LABEL: tf.io.FixedLenFeature([], tf.int64),
}


@dataclass(frozen=True)
class Texts:
    """Titles and descriptions of rows."""

    titles: list[str]
    descriptions: list[str]

    def __len__(self) -> int:
        return len(self.titles)


@dataclass(frozen=True)
class TestRows:
    """Labelled test rows.

    Attributes:
        ids: id of each row.
        texts: text of each row.
        labels: int64 [rows].
        buckets: name of each row's length bucket.
        data_set: classes and length buckets.
        columns: values of the kept columns, and of `SOURCE_ID` if the data set has ids, by name.
    """

    __test__ = False  # pytest would take the class for tests because of its name.

    ids: list[str]
    texts: Texts
    labels: np.ndarray
    buckets: list[str]
    data_set: DataSet = AG_NEWS
    columns: Mapping[str, list[str]] = field(default_factory=dict)

    def slices(self) -> dict[str, np.ndarray]:
        """Returns the rows of each slice of the Evaluator, bool [rows] by slice name, without empty slices."""
        buckets = np.array(self.buckets)
        masks = (
            np.full(len(self.labels), True),
            *(self.labels == label for label in range(len(self.data_set.class_names))),
            *(buckets == name for name in self.data_set.length_buckets),
        )
        names = (OVERALL, *self.data_set.slices)
        return {name: mask for name, mask in zip(names, masks, strict=True) if mask.any()}


def read_test_rows(directory: str, data_set: DataSet = AG_NEWS) -> TestRows:
    """Reads the rows of a split of Examples.

    Args:
        directory: directory with gzipped TFRecords of tf.Examples.
        data_set: classes and length buckets.
    """
    files = list_files(directory, "*")
    others = (*data_set.kept_columns, *([SOURCE_ID] if data_set.id_column else []))
    # A span that was ingested before the schema had a column lacks it.
    missing = {name: "" if name == SOURCE_ID else "(none)" for name in others}
    features = _FEATURES | {name: tf.io.FixedLenFeature([], tf.string, text) for name, text in missing.items()}
    columns: dict[str, list] = {name: [] for name in features}
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_READ_BATCH)
    for batch in records.map(lambda serialized: tf.io.parse_example(serialized, features)).as_numpy_iterator():
        for name, values in batch.items():
            columns[name] += values.tolist()
    texts = {name: [value.decode() for value in columns[name]] for name in (*_TEXTS, *others)}
    return TestRows(
        texts[ID],
        Texts(texts[TITLE], texts[DESCRIPTION]),
        np.array(columns[LABEL], np.int64),
        texts[LENGTH_BUCKET],
        data_set,
        {name: texts[name] for name in others},
    )
