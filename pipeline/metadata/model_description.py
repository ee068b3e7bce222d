"""Describes a trained model from its SavedModel, and classifies an example with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.trainer.export import read_facts, text_example
from schema.errors import DataError
from schema.model_contract import (
    ASSETS,
    CLASSES,
    OOV_ID,
    PADDING_ID,
    RESERVED_IDS,
    SAVED_MODEL,
    SCORES,
    SERVE_EXAMPLES,
    TOKEN_IDS,
    TRAINING_FACTS,
    TRANSFORM_FEATURES,
    VOCABULARY,
)
from schema.paths import refuse_wildcards

_RESERVED = {PADDING_ID: "[padding]", OOV_ID: "[unknown]"}
_NAME_ONE = "name the directory of a version that `agnews run` pushed"


@dataclass(frozen=True)
class Token:
    """A token that the network receives.

    Attributes:
        id: its id.
        word: the vocabulary's word with this id, or a reserved id's meaning in brackets.
        known: whether the word is in the vocabulary.
    """

    id: int
    word: str
    known: bool


@dataclass(frozen=True)
class ModelDescription:
    """An exported model and an example.

    Attributes:
        directory: directory of the SavedModel.
        facts: records of the training by name: `architecture`, `layers`, `recipe`, `history`, `best_epoch`, …
        title: the example's title.
        description: the example's description.
        tokens: the example's tokens, in order.
        probabilities: probability of each class by name, the highest first.
    """

    directory: Path
    facts: Mapping[str, Any]
    title: str
    description: str
    tokens: Sequence[Token]
    probabilities: Mapping[str, float]


def describe_model(directory: Path, title: str, description: str) -> ModelDescription:
    """Reads a SavedModel's facts and classifies an example with it.

    Args:
        directory: directory of a SavedModel that this pipeline exported.
        title: the example's title.
        description: the example's description.

    Raises:
        DataError: the directory holds no SavedModel, or one that cannot be loaded or is not of this pipeline.
        SettingsError: TensorFlow would read the path as a pattern.
    """
    refuse_wildcards("the model", str(directory))
    if not (directory / SAVED_MODEL).exists():
        raise DataError(f"{directory}: no SavedModel there; {_NAME_ONE}")
    facts = _facts(directory)
    try:
        loaded = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise DataError(f"{directory}: cannot load the SavedModel ({error}); {_NAME_ONE}") from error
    example = tf.constant([text_example(title, description).SerializeToString()])
    token_ids = loaded.signatures[TRANSFORM_FEATURES](examples=example)[TOKEN_IDS].numpy()[0]
    answer = loaded.signatures[SERVE_EXAMPLES](inputs=example)
    classes = [name.decode() for name in answer[CLASSES].numpy()[0]]
    scored = zip(classes, answer[SCORES].numpy()[0].tolist(), strict=True)
    return ModelDescription(
        directory,
        facts,
        title,
        description,
        _tokens(token_ids.tolist(), _vocabulary(directory)),
        dict(sorted(scored, key=lambda name_and_score: -name_and_score[1])),
    )


def _facts(directory: Path) -> dict[str, Any]:
    try:
        return read_facts(str(directory))
    except tf.errors.NotFoundError:
        raise DataError(
            f"{directory}: not an export of this pipeline, since it has no {TRAINING_FACTS}; {_NAME_ONE}"
        ) from None
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise DataError(f"{directory}: cannot read {TRAINING_FACTS} ({error}); {_NAME_ONE}") from error


def _vocabulary(directory: Path) -> list[str]:
    # Not splitlines(): a word may contain a Unicode line break.
    return (directory / ASSETS / VOCABULARY).read_bytes().decode("utf-8", "replace").split("\n")


def _tokens(token_ids: Sequence[int], words: Sequence[str]) -> list[Token]:
    return [
        Token(number, _RESERVED[number], known=False)
        if number in _RESERVED
        else Token(number, words[number - RESERVED_IDS], known=True)
        for number in token_ids
    ]
