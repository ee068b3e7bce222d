"""Prepares the rows of a comparison with the pipeline's own ExampleGen and Transform."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.example_gen.sources import DataSource
from components.trainer.batches import TokenizedRows
from components.trainer.input_pipeline import read_rows
from components.transform.preprocessing import clean
from pipeline.dag import create_pipeline
from pipeline.metadata.connection import connection_config, open_store
from pipeline.metadata.graph import run_outputs
from pipeline.runners import local
from pipeline.runners.events import Watcher
from pipeline.runners.run_id import COMPARISON, new_run_id
from pipeline.settings import Settings
from schema.features import DESCRIPTION, LABEL, TEST, TITLE, TRAIN, VAL
from schema.model_contract import TITLE_TOKENS, TOKEN_IDS, VOCABULARY
from schema.paths import list_files

_BATCH = 1024


@dataclass(frozen=True)
class CandidateTexts:
    """Rows for candidates that make their own tokens.

    Attributes:
        titles: titles without markup.
        texts: title and description together, without markup.
        labels: int64 [rows].
    """

    titles: list[str]
    texts: list[str]
    labels: np.ndarray


@dataclass(frozen=True)
class ComparisonData:
    """The rows in both forms.

    Attributes:
        tokens: tokenized rows by split. Those of test are in the order of `texts[TEST]`.
        texts: texts by split.
        words: the vocabulary: the words of the ids from 2 on.
        transform_output: the transform graph.
    """

    tokens: dict[str, TokenizedRows]
    texts: dict[str, CandidateTexts]
    words: list[str]
    transform_output: tft.TFTransformOutput


def prepare(settings: Settings, source: DataSource, watcher: Watcher) -> ComparisonData:
    """Runs the pipeline up to Transform, from the cache if possible, and reads its outputs."""
    run_id = new_run_id(COMPARISON)
    pipeline = create_pipeline(settings, source, until="Transform")
    local.run(pipeline, run_id, settings.pipeline.make_root(), watcher)
    outputs = run_outputs(open_store(connection_config(settings)), run_id)
    transform_output = tft.TFTransformOutput(outputs["Transform", "transform_graph"].uri)
    examples = outputs["AgNewsExampleGen", "examples"].uri
    transformed = outputs["Transform", "transformed_examples"].uri
    tokens = {split: read_rows([f"{transformed}/Split-{split}/*"]) for split in (TRAIN, VAL)}
    texts = {split: _read_texts(f"{examples}/Split-{split}", transform_output) for split in (TRAIN, VAL)}
    tokens[TEST], texts[TEST] = _read_test(f"{examples}/Split-{TEST}", transform_output)
    words = [word.decode() for word in transform_output.vocabulary_by_name(VOCABULARY)]
    return ComparisonData(tokens, texts, words, transform_output)


def _raw_batches(directory: str, transform_output: tft.TFTransformOutput):
    spec = transform_output.raw_feature_spec()
    spec = {name: spec[name] for name in (TITLE, DESCRIPTION, LABEL)}
    for examples in tf.data.TFRecordDataset(list_files(directory, "*"), compression_type="GZIP").batch(_BATCH):
        yield {name: _dense(value) for name, value in tf.io.parse_example(examples, spec).items()}


def _dense(value) -> tf.Tensor:
    return tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value


def _read_texts(directory: str, transform_output: tft.TFTransformOutput) -> CandidateTexts:
    return _texts(list(_raw_batches(directory, transform_output)))


def _texts(batches: list[dict[str, tf.Tensor]]) -> CandidateTexts:
    titles, descriptions = (
        [text.decode("utf-8", "replace") for batch in batches for text in clean(batch[name]).numpy().ravel()]
        for name in (TITLE, DESCRIPTION)
    )
    labels = np.concatenate([batch[LABEL].numpy().ravel() for batch in batches])
    both = [f"{title} {description}" for title, description in zip(titles, descriptions, strict=True)]
    return CandidateTexts(titles, both, labels)


def _read_test(directory: str, transform_output: tft.TFTransformOutput) -> tuple[TokenizedRows, CandidateTexts]:
    layer = transform_output.transform_features_layer()
    batches = list(_raw_batches(directory, transform_output))
    tokens: list[np.ndarray] = []
    title_counts = []
    for batch in batches:
        transformed = layer({name: batch[name] for name in (TITLE, DESCRIPTION)})
        ids = tf.RaggedTensor.from_sparse(transformed[TOKEN_IDS])
        tokens += np.split(ids.flat_values.numpy().astype(np.int32), ids.row_limits().numpy()[:-1])
        title_counts.append(transformed[TITLE_TOKENS].numpy())
    texts = _texts(batches)
    offsets = np.cumsum([0, *map(len, tokens)])
    return TokenizedRows(np.concatenate(tokens), offsets, np.concatenate(title_counts), texts.labels), texts
