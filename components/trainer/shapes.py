"""The shapes of the networks, as plain values without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

RANDOM, LEARNED, GLOVE = "random", "learned", "glove"
"""Values of the recipe's `word_vectors` that are not the name of a file."""
GLOVE_WIDTHS = (50, 100, 200, 300)
"""Widths of GloVe's public word vectors."""


@dataclass(frozen=True)
class Architecture:
    """Shape, dropouts and epochs of a network.

    Attributes:
        embedding_dim: width of the word vectors.
        units: hidden units per direction and layer.
        cell: "simple_rnn" or "lstm".
        depth: number of stacked recurrent layers.
        bidirectional: whether each layer also reads the text backwards.
        pooling: "last" for the last state of the top layer, "max_mean" for maximum and mean of its states over time.
        masking: whether the recurrent layers skip padding.
        titles_only: whether the network reads only titles.
        wide: whether a linear model of words and pairs of words is added and trained together with the network.
        word_dropout: share of the tokens replaced by the out-of-vocabulary id during training.
        embedding_dropout: share of the word-vector channels dropped, each for a whole text.
        feature_dropout: share of the inputs of the last layer dropped.
        consistency: weight of the divergence between the predictions for a text and for its perturbed copy.
        perturbation: size of the copy's adversarial perturbation, as a share of the norm of its word vectors.
        epochs: maximum number of passes over the training rows.
    """

    embedding_dim: int
    units: int
    cell: str = "lstm"
    depth: int = 1
    bidirectional: bool = False
    pooling: str = "last"
    masking: bool = True
    titles_only: bool = False
    wide: bool = False
    word_dropout: float = 0.0
    embedding_dropout: float = 0.1
    feature_dropout: float = 0.0
    consistency: float = 0.0
    perturbation: float = 0.0
    epochs: int = 5


ARCHITECTURES = {
    # The notebook shows its first network without a mask, to contrast it with the second one.
    "simple_rnn_titles": Architecture(64, 16, "simple_rnn", masking=False, titles_only=True),
    "simple_rnn": Architecture(64, 16, "simple_rnn"),
    "lstm": Architecture(64, 8),
    # Pooling over time: the last state alone forgets the start of a text. Measured in docs/explanation/measurements.md.
    "stacked_bilstm": Architecture(
        *(128, 64),
        depth=2,
        bidirectional=True,
        pooling="max_mean",
        wide=True,
        # The smaller networks have too little capacity for more dropout.
        word_dropout=0.1,
        embedding_dropout=0.3,
        feature_dropout=0.5,
        # With the wide part, more passes gain nothing: docs/explanation/training.md.
        epochs=3,
    ),
}
"""The networks by name, with the seed notebook's sizes (AI-For-Beginners, lessons/5-NLP/16-RNN/RNNTF.ipynb)."""

_CHANGEABLE = (
    *("embedding_dim", "units", "depth", "masking", "pooling", "wide"),
    *("word_dropout", "embedding_dropout", "feature_dropout", "consistency", "perturbation", "epochs"),
)


def architecture(name: str, **changes: Any) -> Architecture:
    """Returns the named architecture with some attributes changed.

    Args:
        name: a key of `ARCHITECTURES`.
        **changes: attributes of `Architecture`; None keeps the architecture's own value.

    Raises:
        KeyError: the name is unknown.
    """
    return replace(ARCHITECTURES[name], **{key: value for key, value in changes.items() if value is not None})


def architecture_of(recipe: Mapping[str, Any]) -> Architecture:
    """Returns the architecture of a recipe in the form of a mapping, such as one read from an export."""
    # Recipes from before there was a wide part do not name it.
    recipe = {"wide": False, **recipe}
    return architecture(recipe["architecture"], **{name: recipe.get(name) for name in _CHANGEABLE})
