"""Names and ids that an exported model shares with everything that reads it: signatures, token ids and files."""

from collections.abc import Mapping
from typing import Any

SERVING_DEFAULT = "serving_default"
"""Signature from texts to `label`, `CLASSES` and `PROBABILITIES`; TensorFlow's default. Its inputs, string [batch], are
the text columns of the data set."""
SERVE_EXAMPLES = "serve_examples"
"""Signature from serialized tf.Examples to `CLASSES` and `SCORES`, as TensorFlow Serving's Classify API expects."""
TRANSFORM_FEATURES = "transform_features"
"""Signature from serialized tf.Examples to `TOKEN_IDS`."""

CLASS_COUNT = 4
"""Number of classes; the curated schema names them."""
CLASSES = "classes"
"""Output with the class names, string [batch, classes]."""
PROBABILITIES = "probabilities"
"""Output of `SERVING_DEFAULT` with the probability of each class, float32 [batch, classes]."""
SCORES = "scores"
"""Output of `SERVE_EXAMPLES` with the probability of each class, float32 [batch, classes]."""

TOKEN_IDS = "token_ids"
"""Transformed feature: token ids of a text, the title's first."""
TITLE_TOKENS = "title_tokens"
"""Transformed feature: number of leading token ids that belong to the title."""
VOCABULARY = "vocabulary"
"""Name of the vocabulary in the transform graph, and of its file in an export's `ASSETS`."""

_DT_STRING = 7

PADDING_ID = 0
"""Token id that fills short rows of a batch."""
OOV_ID = 1
"""Token id of every word that is not in the vocabulary."""
RESERVED_IDS = 2
"""Number of ids before the first word of the vocabulary."""

SAVED_MODEL = "saved_model.pb"
"""File with a SavedModel's graph; a version directory without it cannot be loaded."""
FINGERPRINT = "fingerprint.pb"
"""File of hashes and an identifier of the export; exports with other graphs or weights have other ones."""
ASSETS = "assets"
"""Folder of the files that the graph reads."""
VARIABLES = "variables/variables"
"""Prefix of the files with the model's variables, in the format of a TensorFlow checkpoint."""
SAVED_MODEL_FILES = (SAVED_MODEL, f"{VARIABLES}.index", f"{VARIABLES}.data-*", f"{ASSETS}/*")
"""Patterns of the files that every export has; its asset is the vocabulary."""
TRAINING_FACTS = "assets.extra/training.json"
"""File in which the Trainer describes the training."""
WARMUP_REQUESTS = "assets.extra/tf_serving_warmup_requests"
"""File of requests that a server runs before it serves the version."""
MLMD_UUID = "assets.extra/mlmd_uuid"
"""File with the model's id in the metadata store. TensorFlow Serving publishes its content as the metric `mlmd_map`."""
MODEL_SIGNATURE = "model.sig"
"""File with the signature of a pushed version in the OpenSSF model-signing format, if it is signed so."""


def text_columns(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the text columns that a signature reads, in their order.

    Args:
        inputs: TensorInfo messages of the inputs by name. The map has no order, so the numbers in the tensors' names
            give it; the tensors of a title and a description have no numbers.
    """
    texts = [name for name, tensor in inputs.items() if tensor.dtype == _DT_STRING]
    return tuple(sorted(texts, key=lambda name: (not inputs[name].name.endswith("_title:0"), inputs[name].name)))
