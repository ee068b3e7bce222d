"""Stores the model's predictions for the test rows, so that models can be compared later without loading them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from tfx.dsl.io import fileio

from components.model_card.rows import TestRows

PREDICTIONS = "predictions.parquet"
_OF_ROW = "row."


@dataclass(frozen=True)
class Predictions:
    """Predictions for test rows, without their texts, which are in the Examples.

    Attributes:
        ids: text [rows], ids of the rows.
        labels: text [rows], true classes.
        buckets: text [rows], length buckets.
        answers: text [rows], predicted classes.
        probabilities: float32 [rows], probabilities of the predicted classes.
        columns: text [rows] by name, as in `TestRows.columns`.
    """

    ids: np.ndarray
    labels: np.ndarray
    buckets: np.ndarray
    answers: np.ndarray
    probabilities: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: TestRows, probabilities: np.ndarray) -> "Predictions":
        """Selects the most probable class of each row.

        Args:
            rows: the test rows.
            probabilities: float [rows, classes].
        """
        names = np.array(rows.data_set.class_names, object)
        return cls(
            np.array(rows.ids, object),
            names[rows.labels],
            np.array(rows.buckets, object),
            names[probabilities.argmax(axis=1)],
            probabilities.max(axis=1).astype(np.float32),
            {name: np.array(values, object) for name, values in rows.columns.items()},
        )


def write_predictions(predictions: Predictions, directory: str) -> None:
    """Writes `predictions.parquet` with one column per attribute, named in the singular; the directory must exist.

    The columns of the data set are named `row.NAME`.
    """
    columns = {
        "id": predictions.ids,
        "label": predictions.labels,
        "bucket": predictions.buckets,
        "answer": predictions.answers,
        "probability": predictions.probabilities,
        **{f"{_OF_ROW}{name}": values for name, values in predictions.columns.items()},
    }
    with fileio.open(os.path.join(directory, PREDICTIONS), "wb") as file:
        buffer = pa.BufferOutputStream()
        parquet.write_table(pa.table(columns), buffer, compression="zstd")
        file.write(buffer.getvalue().to_pybytes())


def read_predictions(directory: str) -> Predictions:
    """Reads the file that `write_predictions` wrote.

    Raises:
        OSError, tf.errors.NotFoundError: the file does not exist, since the card is older than this file format.
    """
    with fileio.open(os.path.join(directory, PREDICTIONS), "rb") as file:
        table = parquet.read_table(pa.BufferReader(file.read()))
    ids, labels, buckets, answers, probabilities = (
        table[name].to_numpy() for name in ("id", "label", "bucket", "answer", "probability")
    )
    others = [name for name in table.column_names if name.startswith(_OF_ROW)]
    columns = {name.removeprefix(_OF_ROW): table[name].to_numpy() for name in others}
    return Predictions(ids, labels, buckets, answers, probabilities, columns)
