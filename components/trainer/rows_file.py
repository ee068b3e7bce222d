"""A file of tokenized rows from which a network can be trained where only TensorFlow is installed.

The file is NumPy's `.npz`: four arrays per split, the vocabulary, initial word vectors, and the recipe as JSON.
`make rows-file` writes it, and `python -m components.trainer.train_rows` trains from it.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from components.trainer.batches import TokenizedRows
from components.trainer.shapes import Architecture, architecture_of
from schema.errors import DataError

_ROWS = ("token_ids", "offsets", "title_counts", "labels")
_WORDS, _VECTORS, _RECIPE = "words", "vectors", "recipe"


class StoredRecipe(SimpleNamespace):
    """A recipe that was checked before it was stored: the fields of `components.trainer.settings.Recipe`."""

    @property
    def network(self) -> Architecture:
        """Architecture of the network."""
        return architecture_of(vars(self))


@dataclass(frozen=True)
class RowsFile:
    """The content of a file of rows.

    Attributes:
        rows: tokenized rows by split.
        words: the vocabulary, in the order of the ids from 2 on.
        vectors: initial word vectors, float32 [words + 2, dimensions]; None for the random ones of a new network.
        recipe: settings of the training.
    """

    rows: Mapping[str, TokenizedRows]
    words: Sequence[str]
    vectors: np.ndarray | None
    recipe: StoredRecipe

    def write(self, path: Path) -> None:
        """Writes the file."""
        arrays = {f"{split}_{name}": getattr(rows, name) for split, rows in self.rows.items() for name in _ROWS}
        texts = {_WORDS: "\n".join(self.words), _RECIPE: json.dumps(vars(self.recipe))}
        arrays |= {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
        if self.vectors is not None:
            arrays[_VECTORS] = self.vectors
        with open(path, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> "RowsFile":
        """Reads a file that `write` wrote.

        Raises:
            DataError: the file is missing or is not a file of rows.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                splits = [name.removesuffix("_labels") for name in arrays if name.endswith("_labels")]
                rows = {split: TokenizedRows(*(arrays[f"{split}_{name}"] for name in _ROWS)) for split in splits}
                words, recipe = (arrays[name].tobytes().decode() for name in (_WORDS, _RECIPE))
                return cls(rows, words.split("\n"), arrays.get(_VECTORS), StoredRecipe(**json.loads(recipe)))
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{path}: {reason}; write a file of rows with `make rows-file`") from error
