"""Settings of the Trainer: the shape of each network and the recipe that trains it. Imports no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from schema.paths import expand_home, is_remote

RANDOM, LEARNED = "random", "learned"
MAX_DIMENSIONS = 10_000
"""Largest width of word vectors."""

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of the sections of the settings: immutable, checks defaults, and accepts neither unknown keys nor NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def replace_tilde(path: Any) -> Any:
    """Replaces a leading `~` of a path by the home directory; None stays None."""
    return path if path is None else type(path)(expand_home(str(path)))


@dataclass(frozen=True)
class Architecture:
    """Shape and dropouts of a network.

    Attributes:
        embedding_dim: width of the word vectors.
        units: hidden units per direction and layer.
        cell: "simple_rnn" or "lstm".
        depth: number of stacked recurrent layers.
        bidirectional: whether each layer also reads the text backwards.
        pooling: "last" for the last state of the top layer, "max_mean" for maximum and mean of its states over time.
        masking: whether the recurrent layers skip padding.
        titles_only: whether the network reads only titles.
        word_dropout: share of the tokens replaced by the out-of-vocabulary id during training.
        embedding_dropout: share of the word-vector channels dropped, each for a whole text.
        feature_dropout: share of the inputs of the last layer dropped.
        consistency: weight of the divergence between the predictions for a text and for its perturbed copy.
        perturbation: size of the copy's adversarial perturbation, as a share of the norm of its word vectors.
    """

    embedding_dim: int
    units: int
    cell: str = "lstm"
    depth: int = 1
    bidirectional: bool = False
    pooling: str = "last"
    masking: bool = True
    titles_only: bool = False
    word_dropout: float = 0.0
    embedding_dropout: float = 0.1
    feature_dropout: float = 0.0
    consistency: float = 0.0
    perturbation: float = 0.0


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
        # The smaller networks have too little capacity for more dropout.
        word_dropout=0.1,
        embedding_dropout=0.3,
        feature_dropout=0.5,
        consistency=2.0,
        perturbation=0.05,
    ),
}
"""The networks by name, with the seed notebook's sizes (AI-For-Beginners, lessons/5-NLP/16-RNN/RNNTF.ipynb)."""

_CHANGEABLE = (
    *("embedding_dim", "units", "depth", "masking", "pooling"),
    *("word_dropout", "embedding_dropout", "feature_dropout", "consistency", "perturbation"),
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
    return architecture(recipe["architecture"], **{name: recipe.get(name) for name in _CHANGEABLE})


class Recipe(Section):
    """The settings that determine the result of a training, together with its rows."""

    architecture: Literal["simple_rnn_titles", "simple_rnn", "lstm", "stacked_bilstm"] = Field(
        "stacked_bilstm", description="network to train; sizes that are unset are the seed notebook's"
    )
    embedding_dim: PositiveInt | None = Field(
        None, le=MAX_DIMENSIONS, description="width of the word vectors; unset: 64, stacked: 128"
    )
    units: PositiveInt | None = Field(
        None, description="hidden units per direction and layer; unset: RNN 16, LSTM 8, stacked 64"
    )
    depth: PositiveInt | None = Field(None, description="number of recurrent layers; unset: 1, stacked: 2")
    masking: bool | None = Field(None, description="skip padding; unset: true except for simple_rnn_titles")
    pooling: Literal["last", "max_mean"] | None = Field(
        None, description="last state, or maximum and mean over time; unset: last, stacked: max_mean"
    )
    word_vectors: str = Field(
        LEARNED,
        description="initial word vectors: random, learned (from co-occurrences in train), or a word2vec or GloVe file",
    )
    word_vectors_window: PositiveInt = Field(
        10, description="words on each side that count as co-occurring when word vectors are learned"
    )
    word_vectors_trainable: bool = Field(True, description="fine-tune the word vectors; false freezes them")
    word_dropout: Rate | None = Field(
        None, description="share of training tokens replaced by id 1; unset: 0, stacked 0.1"
    )
    embedding_dropout: Rate | None = Field(
        None, description="share of word-vector channels dropped, each for a whole text; unset: 0.1, stacked 0.3"
    )
    feature_dropout: Rate | None = Field(
        None, description="share of the last layer's inputs dropped; unset: 0, stacked 0.5"
    )
    consistency: float | None = Field(
        None,
        ge=0.0,
        description="weight of the divergence between the predictions for a text and for its perturbed copy, the same "
        "text under other dropouts; more than 0 doubles the work; unset: 0, stacked 2",
    )
    perturbation: Rate | None = Field(
        None,
        description="adversarial perturbation of the copy's word vectors, as a share of their norm; more than 0 "
        "doubles the work; unset: 0, stacked 0.05",
    )
    plain_epochs: NonNegativeInt = Field(1, description="first epochs, which train without perturbed copies")
    epochs: PositiveInt = Field(5, description="maximum number of passes over train; early stopping may end sooner")
    patience: PositiveInt = Field(2, description="epochs without a better val accuracy before training stops")
    batch_tokens: PositiveInt | None = Field(
        None, description="tokens per batch, padding included; unset: 5,000 on a CPU, measured on a GPU"
    )
    bucket_boundaries: tuple[PositiveInt, ...] = Field(
        (16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 112),
        description="token counts at which the next length bucket begins; () for one bucket",
    )
    learning_rate: PositiveFloat = Field(2e-3, description="peak of the cosine schedule")
    word_vectors_rate: PositiveFloat = Field(3.0, description="factor on the learning rate for word vectors")
    weight_decay: float = Field(1e-2, ge=0.0, description="AdamW's decoupled weight decay; excludes word vectors")
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "float32", description="number format of the layers; the mixed formats are for GPUs"
    )
    seed: int = Field(42, description="seed of initial weights, shuffling and dropout")

    _home_is_expanded = field_validator("word_vectors")(replace_tilde)

    @model_validator(mode="after")
    def _boundaries_rise(self) -> "Recipe":
        if list(self.bucket_boundaries) != sorted(set(self.bucket_boundaries)):
            raise ValueError("bucket_boundaries must rise, without repeats")
        return self

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Recipe":
        """Reads a recipe from the Trainer component's configuration, whose other keys are ignored.

        Raises:
            KeyError: a field is missing.
        """
        return cls(**{name: config[name] for name in cls.model_fields})

    @property
    def network(self) -> Architecture:
        """Architecture of the network; unset fields have the values of the named architecture."""
        return architecture_of(vars(self))


class TrainerSettings(Recipe):
    """The network and its recipe."""

    max_memory_rows: PositiveInt = Field(
        2_000_000, description="training rows held in memory; more are streamed, half as many shuffled at a time"
    )
    warm_start: bool = Field(
        False, description="start from the last blessed model's weights, where words and layers are the same"
    )
    warmup_requests: PositiveInt = Field(
        10, le=1000, description="warm-up requests in the export; TensorFlow Serving accepts up to 1,000"
    )

    def check_word_vectors(self) -> None:
        """Checks the first vectors of a local file of word vectors; a URI is not checked.

        Raises:
            SettingsError: the file cannot be read, or its vectors do not fit the network.
        """
        if self.word_vectors not in (RANDOM, LEARNED) and not is_remote(self.word_vectors):
            from components.trainer.vector_files import check_vectors

            check_vectors(Path(self.word_vectors), self.network.embedding_dim)
