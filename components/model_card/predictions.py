"""What the model answered to each test row, kept for comparing it with any other model without loading either."""

import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from tfx.dsl.io import fileio

from components.model_card.rows import TestRows
from schema.features import CLASS_NAMES

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Predictions:
    """Answers to test rows, without their texts: those are in the Examples.

    Attributes:
        ids: text [rows], the rows' ids.
        labels: text [rows], the true classes.
        buckets: text [rows], the length buckets.
        answers: text [rows], the classes that the model answered.
        probabilities: float32 [rows], of the answers.
    """

    ids: np.ndarray
    labels: np.ndarray
    buckets: np.ndarray
    answers: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def of(cls, rows: TestRows, probabilities: np.ndarray) -> "Predictions":
        """Takes each row's most probable class.

        Args:
            rows: the test rows.
            probabilities: float [rows, classes].
        """
        names = np.array(CLASS_NAMES, object)
        return cls(
            np.array(rows.ids, object),
            names[rows.labels],
            np.array(rows.buckets, object),
            names[probabilities.argmax(axis=1)],
            probabilities.max(axis=1).astype(np.float32),
        )


def write_predictions(predictions: Predictions, directory: str) -> None:
    """Writes `predictions.parquet`: a column an attribute, named in the singular; the directory must be there."""
    columns = {
        "id": predictions.ids,
        "label": predictions.labels,
        "bucket": predictions.buckets,
        "answer": predictions.answers,
        "probability": predictions.probabilities,
    }
    with fileio.open(os.path.join(directory, PREDICTIONS), "wb") as file:
        buffer = pa.BufferOutputStream()
        parquet.write_table(pa.table(columns), buffer, compression="zstd")
        file.write(buffer.getvalue().to_pybytes())


def read_predictions(directory: str) -> Predictions:
    """Reads what `write_predictions` wrote.

    Raises:
        OSError, tf.errors.NotFoundError: it is not there: the card was written before there were such files.
    """
    with fileio.open(os.path.join(directory, PREDICTIONS), "rb") as file:
        table = parquet.read_table(pa.BufferReader(file.read()))
    columns = (table[name].to_numpy() for name in ("id", "label", "bucket", "answer", "probability"))
    return Predictions(*columns)
