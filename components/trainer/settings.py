"""Settings of the Trainer: the recipe of a training, and what surrounds it. Imports no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from components.trainer.shapes import GLOVE, GLOVE_WIDTHS, LEARNED, RANDOM, Architecture, architecture_of
from schema.paths import expand_home, is_remote

MAX_DIMENSIONS = 10_000
"""Largest width of word vectors."""
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of the sections of the settings: immutable, checks defaults, and accepts neither unknown keys nor NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class PathMarker:
    """Marks a setting as a path, which in a settings file is relative to the directory of that file.

    Attributes:
        words: values that are not paths.
    """

    words: tuple[str, ...] = ()


def replace_tilde(path: Any) -> Any:
    """Replaces a leading `~` of a path by the home directory."""
    return type(path)(expand_home(str(path)))


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
    wide: bool | None = Field(
        None,
        description="add a linear model of words and pairs of words, trained with the network; unset: false, "
        "stacked: true",
    )
    word_vectors: Annotated[str, AfterValidator(replace_tilde), PathMarker((RANDOM, LEARNED, GLOVE))] = Field(
        LEARNED,
        description="initial word vectors: random, learned (from co-occurrences in train), glove (downloaded), or a "
        "word2vec or GloVe file",
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
        "text under other dropouts; more than 0 doubles the work; unset: 0",
    )
    perturbation: Rate | None = Field(
        None,
        description="adversarial perturbation of the copy's word vectors, as a share of their norm; more than 0 "
        "doubles the work; unset: 0",
    )
    plain_epochs: NonNegativeInt = Field(1, description="first epochs, which train without perturbed copies")
    epochs: PositiveInt | None = Field(
        None, description="maximum number of passes over train; early stopping may end sooner; unset: 5, stacked 3"
    )
    patience: PositiveInt = Field(2, description="epochs without a better val accuracy before training stops")
    batch_tokens: PositiveInt = Field(
        5_000, description="tokens per batch, padding included; larger ones are faster on a GPU and learn less"
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

    @model_validator(mode="after")
    def _boundaries_rise(self) -> "Recipe":
        if list(self.bucket_boundaries) != sorted(set(self.bucket_boundaries)):
            raise ValueError("bucket_boundaries must rise, without repeats")
        return self

    @model_validator(mode="after")
    def _glove_has_the_width(self) -> "Recipe":
        width = self.network.embedding_dim
        if self.word_vectors == GLOVE and width not in GLOVE_WIDTHS:
            raise ValueError(
                f"word_vectors glove has vectors of {', '.join(map(str, GLOVE_WIDTHS))} elements and the network takes "
                f"{width}: set embedding_dim to one of them"
            )
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
        if self.word_vectors not in (RANDOM, LEARNED, GLOVE) and not is_remote(self.word_vectors):
            from components.trainer.vector_files import check_vectors

            check_vectors(Path(self.word_vectors), self.network.embedding_dim)
