"""Trains the candidates of a comparison on the same rows, tests them on the same rows and measures them alike."""

import dataclasses
import hashlib
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from components.trainer import export
from components.trainer.batches import Buckets
from components.trainer.calibration import expected_calibration_error
from components.trainer.settings import Recipe
from components.trainer.training import build, predict_logits, train
from pipeline.code_version import code_version
from pipeline.experiments.compare import baselines, seed_notebook
from pipeline.experiments.compare.data import ComparisonData
from schema.features import TEST, TRAIN, VAL
from schema.files import replace_file
from schema.model_contract import RESERVED_IDS
from schema.temporary import temporary_directory

_TEST_BATCH = 64


@dataclass(frozen=True)
class Outcome:
    """The result of a candidate with one seed.

    Attributes:
        name: name of the candidate.
        seed: seed of its training.
        correct: for each test row, whether it was classified correctly.
        seconds: time of the whole training, preparation included.
        parameters: number of learned parameters; None if not counted.
        rows_per_second: median over the epochs, without validation.
        seconds_per_epoch: median over the epochs.
        size: size of the exported or stored model, bytes.
        ece: expected calibration error of the test probabilities before and after temperature scaling.
    """

    name: str
    seed: int
    correct: list[bool]
    seconds: float
    parameters: int | None = None
    rows_per_second: float | None = None
    seconds_per_epoch: float | None = None
    size: int | None = None
    ece: tuple[float, float] | None = None

    @property
    def accuracy(self) -> float:
        """Share of the test rows that were classified correctly."""
        return sum(self.correct) / len(self.correct)


class Results:
    """Stores outcomes on disk, so that an interrupted comparison continues where it stopped."""

    def __init__(self, directory: Path):
        self._directory = directory

    def get(self, key: str) -> Outcome | None:
        """Returns the outcome with this key, or None."""
        path = self._directory / f"{key}.json"
        if not path.exists():
            return None
        fields = json.loads(path.read_text())
        # JSON has no tuples.
        return Outcome(**fields | {"ece": fields["ece"] and tuple(fields["ece"])})

    def put(self, key: str, outcome: Outcome) -> None:
        """Stores an outcome. Its file appears complete or not at all."""
        self._directory.mkdir(parents=True, exist_ok=True)
        replace_file(self._directory / f"{key}.json", json.dumps(dataclasses.asdict(outcome)).encode())


def result_key(kind: str, definition: object, data: ComparisonData, seed: int) -> str:
    """Returns a key of everything that determines an outcome: candidate, definition, rows, seed, trainer's code."""
    rows = [data.tokens[split].fingerprint() for split in (TRAIN, VAL, TEST)]
    determined_by = json.dumps([kind, definition, rows, seed, code_version("trainer")], default=str)
    return hashlib.sha256(determined_by.encode()).hexdigest()[:16]


def train_network(name: str, recipe: Recipe, data: ComparisonData, checkpoints: Path) -> Outcome:
    """Trains one of this project's networks."""
    trained = train(
        data.tokens[TRAIN],
        data.tokens[VAL],
        data.words,
        recipe,
        checkpoint_root=str(checkpoints),
        code=code_version("trainer"),
    )
    facts = trained.facts
    test = data.tokens[TEST].titles() if recipe.network.titles_only else data.tokens[TEST]
    logits = predict_logits(trained.network, test, Buckets(recipe.bucket_boundaries, recipe.batch_tokens))
    probabilities = [
        keras.ops.convert_to_numpy(keras.ops.softmax(logits / temperature))
        for temperature in (1.0, facts["calibration"]["temperature"])
    ]
    before, after = (expected_calibration_error(found, test.labels) for found in probabilities)
    portable = build(recipe, vocabulary_size=len(data.words) + RESERVED_IDS, use_cudnn=False)
    portable.set_weights(trained.network.get_weights())
    with temporary_directory() as directory:
        saved_model = Path(directory) / "saved_model"
        export.export_saved_model(portable, data.transform_output, str(saved_model))
        size = _size(saved_model)
    trained.checkpoint.remove()
    return Outcome(
        name,
        recipe.seed,
        (logits.argmax(axis=1) == test.labels).tolist(),
        facts["seconds"],
        facts["parameters"],
        statistics.median(facts["history"]["rows_per_second"]),
        statistics.median(facts["history"]["seconds"]),
        size,
        (before, after),
    )


def train_notebook_network(name: str, architecture: str, data: ComparisonData, seed: int) -> Outcome:
    """Trains one of the seed notebook's networks as the notebook does."""
    keras.utils.set_random_seed(seed)
    titles_only = architecture == "simple_rnn_titles"
    chosen = {split: rows.titles if titles_only else rows.texts for split, rows in data.texts.items()}
    text_to_ids = seed_notebook.vectorizer(data.texts[TRAIN].titles)
    model = seed_notebook.network(architecture, text_to_ids)
    rows = data.texts[TRAIN]
    batches = seed_notebook.batches(chosen[TRAIN], rows.labels, seed_notebook.batch_size(architecture))
    began = time.monotonic()
    model.fit(batches, verbose=0)
    seconds = time.monotonic() - began
    test = data.texts[TEST]
    predicted = model.predict(seed_notebook.batches(chosen[TEST], test.labels, _TEST_BATCH), verbose=0).argmax(axis=1)
    with temporary_directory() as directory:
        saved_model = Path(directory) / "saved_model"
        model.export(saved_model, verbose=False)
        size = _size(saved_model)
    return Outcome(
        name,
        seed,
        (predicted == test.labels).tolist(),
        seconds,
        model.count_params(),
        len(rows.labels) / seconds,
        seconds,
        size,
    )


def train_baseline(name: str, data: ComparisonData) -> Outcome:
    """Trains a baseline. It selects nothing on val, so it learns from those rows as well."""
    texts = data.texts[TRAIN].texts + data.texts[VAL].texts
    labels = np.concatenate([data.texts[TRAIN].labels, data.texts[VAL].labels])
    result = baselines.BASELINES[name](texts, labels, data.texts[TEST].texts)
    correct = (result.predicted == data.texts[TEST].labels).tolist()
    return Outcome(name, 0, correct, result.seconds, size=result.bytes)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
