"""Checks texts that a model must classify correctly: one wrong answer, and the model is not blessed."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tfx.components.evaluator import constants
from tfx.dsl.io import fileio
from tfx.types import Artifact
from tfx.utils import path_utils

from schema.data_set import DESCRIPTION, TITLE
from schema.model_contract import CLASSES, SCORES, SERVE_EXAMPLES
from schema.news_items import quote

ANSWERS_FILE = "must_pass.json"


@dataclass(frozen=True)
class RequiredAnswer:
    """A text and the answer of the model.

    Attributes:
        title: title of the text.
        description: description of the text.
        expected: class that the model must answer.
        answer: class that it answered.
        probability: probability of `answer`.
    """

    title: str
    description: str
    expected: str
    answer: str
    probability: float

    @property
    def passed(self) -> bool:
        """Whether the answer is the expected class."""
        return self.answer == self.expected

    @property
    def text(self) -> str:
        """The whole text on one line."""
        return f"{self.title} {self.description}".strip()

    def __str__(self) -> str:
        return (
            f"{quote(self.text)} must be {self.expected}, the model answers {self.answer} with probability "
            f"{self.probability:.4f}"
        )


def check_answers(model: Artifact, texts: Sequence[dict[str, Any]]) -> list[RequiredAnswer]:
    """Classifies the texts with a model.

    Args:
        model: the Model artifact.
        texts: title, description and expected class of each text.
    """
    import tensorflow as tf

    from components.trainer.export import text_example

    examples = [text_example(text[TITLE], text[DESCRIPTION]).SerializeToString() for text in texts]
    # Keep a reference to the model, since the signatures hold none to the variables.
    loaded = tf.saved_model.load(path_utils.serving_model_path(model.uri))
    outputs = loaded.signatures[SERVE_EXAMPLES](inputs=tf.constant(examples))
    scores, names = outputs[SCORES].numpy(), outputs[CLASSES].numpy()
    best = scores.argmax(axis=1)
    return [
        RequiredAnswer(**text, answer=names[row][best[row]].decode(), probability=float(scores[row][best[row]]))
        for row, text in enumerate(texts)
    ]


def write_answers(answers: Sequence[RequiredAnswer], evaluation_uri: str) -> None:
    """Writes the answers next to the Evaluator's metrics."""
    with fileio.open(os.path.join(evaluation_uri, ANSWERS_FILE), "w") as file:
        file.write(json.dumps([asdict(answer) for answer in answers], ensure_ascii=False, indent=1) + "\n")


def read_answers(evaluation_uri: str) -> tuple[RequiredAnswer, ...]:
    """Reads what `write_answers` wrote; empty if no text was required."""
    path = os.path.join(evaluation_uri, ANSWERS_FILE)
    if not fileio.exists(path):
        return ()
    with fileio.open(path, "rb") as file:
        return tuple(RequiredAnswer(**answer) for answer in json.loads(file.read()))


def withdraw_blessing(blessing: Artifact) -> None:
    """Changes the verdict of TFX's Evaluator to "not blessed", in the artifact's properties and in its files."""
    blessed = os.path.join(blessing.uri, constants.BLESSED_FILE_NAME)
    if fileio.exists(blessed):
        fileio.remove(blessed)
    with fileio.open(os.path.join(blessing.uri, constants.NOT_BLESSED_FILE_NAME), "w") as file:
        file.write("")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.NOT_BLESSED_VALUE)
