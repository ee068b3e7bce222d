"""Starts a training from an earlier model's weights, where the two networks and vocabularies overlap.

The earlier model's export has all that is needed: variables in the order of the network's variables, the recipe in the
training facts, and words in the vocabulary file.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from components.trainer.architectures import build_network
from components.trainer.batches import TokenizedRows
from components.trainer.shapes import architecture_of
from components.trainer.wide import pair_rows
from schema.errors import RunError
from schema.model_contract import ASSETS, CLASS_COUNT, RESERVED_IDS, TRAINING_FACTS, VARIABLES, VOCABULARY

_VARIABLE = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
_EMBEDDING, _WIDE = "embedding", "wide"
_TINY = 1e-9


@dataclass(frozen=True)
class BaseModel:
    """An earlier model to start from.

    Attributes:
        place: directory of its export.
        words: its vocabulary, in the order of the ids from 2 on.
        network: its network with the trained weights.
    """

    place: str
    words: Sequence[str]
    network: keras.Model


def read_base_model(export_dir: str) -> BaseModel:
    """Reads the network of an export that this Trainer wrote.

    Raises:
        RunError: the export is missing or was not written by this Trainer.
    """
    try:
        with tf.io.gfile.GFile(os.path.join(export_dir, TRAINING_FACTS)) as file:
            facts = json.load(file)
        recipe = facts["recipe"]
        with tf.io.gfile.GFile(os.path.join(export_dir, ASSETS, VOCABULARY)) as file:
            words = file.read().split("\n")[:-1]
        network = build_network(
            architecture_of(recipe),
            vocabulary_size=len(words) + RESERVED_IDS,
            classes=len(facts.get("class_names", range(CLASS_COUNT))),
            seed=recipe["seed"],
            use_cudnn=False,
        )
        checkpoint = tf.train.load_checkpoint(os.path.join(export_dir, VARIABLES))
        for index, variable in enumerate(network.variables):
            variable.assign(checkpoint.get_tensor(_VARIABLE.format(index)))
    except (tf.errors.OpError, KeyError, ValueError) as error:
        raise RunError(
            f"the base model {export_dir} cannot be read: {error}; put it back, or train without it "
            "(--set trainer.warm_start=false)"
        ) from error
    return BaseModel(export_dir, words, network)


@dataclass(frozen=True)
class Overlap:
    """Layers and words that a network shares with a base model.

    Attributes:
        layers: names of the layers, except the tables of words, whose weights have the same shapes.
        ids: the network's ids of the shared words, int64 [words].
        base_ids: the base model's ids of the same words; empty if the word vectors have another width.
    """

    layers: tuple[str, ...]
    ids: np.ndarray
    base_ids: np.ndarray

    @classmethod
    def of(cls, network: keras.Model, words: Sequence[str], base: BaseModel) -> "Overlap":
        """Compares a network and its vocabulary, in the order of the ids from 2 on, with a base model."""
        shapes, base_shapes = _shapes(network), _shapes(base.network)
        width, base_width = (model.get_layer(_EMBEDDING).output_dim for model in (network, base.network))
        base_id = {word: number for number, word in enumerate(base.words, start=RESERVED_IDS)}
        shared = [(number, base_id[word]) for number, word in enumerate(words, RESERVED_IDS) if word in base_id]
        ids, base_ids = np.array(shared if width == base_width else [], np.int64).reshape(-1, 2).T
        return cls(tuple(name for name, of_layer in shapes.items() if base_shapes.get(name) == of_layer), ids, base_ids)

    def copy_weights(self, network: keras.Model, base: BaseModel, rows: TokenizedRows) -> None:
        """Copies the shared weights of the base model into the network.

        Vectors of words that the base model lacks are rotated and scaled by the transformation that best maps the
        shared words' vectors to the base model's (orthogonal Procrustes, Schönemann 1966), because vectors that were
        learned separately point in unrelated directions. Of the wide part, the weights of shared words are copied, and
        those of the pairs of shared words that occur in the rows: a pair has another row where its words have other
        ids.

        Args:
            network: network of which the weights are set.
            base: the base model.
            rows: the training texts.
        """
        for name in self.layers:
            network.get_layer(name).set_weights(base.network.get_layer(name).get_weights())
        if not len(self.ids):
            return
        embedding = network.get_layer(_EMBEDDING)
        [vectors], [base_vectors] = embedding.get_weights(), base.network.get_layer(_EMBEDDING).get_weights()
        known, wanted = vectors[self.ids], base_vectors[self.base_ids]
        left, _, right = np.linalg.svd(known.T @ wanted)
        rotation = left @ right
        scale = float(np.linalg.norm(wanted)) / max(float(np.linalg.norm(known)), _TINY)
        vectors = scale * vectors @ rotation
        # Both models also share padding and the unknown word.
        vectors[:RESERVED_IDS] = base_vectors[:RESERVED_IDS]
        vectors[self.ids] = wanted
        embedding.set_weights([vectors])
        if all(_WIDE in [layer.name for layer in model.layers] for model in (network, base.network)):
            self._copy_wide(network.get_layer(_WIDE), base.network.get_layer(_WIDE), rows)

    def _copy_wide(self, wide: keras.layers.Layer, base_wide: keras.layers.Layer, rows: TokenizedRows) -> None:
        [words, pairs], [base_words, base_pairs] = wide.get_weights(), base_wide.get_weights()
        base_id = np.full(len(words), -1, np.int64)
        base_id[:RESERVED_IDS] = range(RESERVED_IDS)
        base_id[self.ids] = self.base_ids
        words[base_id >= 0] = base_words[base_id[base_id >= 0]]
        neighbours = np.ones(max(0, len(rows.token_ids) - 1), bool)
        neighbours[rows.offsets[1:-1] - 1] = False
        first, second = (ids[neighbours].astype(np.int64) for ids in (rows.token_ids[:-1], rows.token_ids[1:]))
        shared = (base_id[first] >= 0) & (base_id[second] >= 0)
        first, second = first[shared], second[shared]
        pairs[pair_rows(first, second)] = base_pairs[pair_rows(base_id[first], base_id[second])]
        wide.set_weights([words, pairs])

    def facts(self, network: keras.Model, words: Sequence[str], base: BaseModel) -> dict[str, str]:
        """Returns how much is copied, and what is not, as texts for people."""
        facts = {
            "base_model": base.place,
            "words_taken": f"{len(self.ids):,} of {len(words):,}",
            "layers_taken": f"{len(self.layers)} of {len(_shapes(network))}",
        }
        own, of_base = (
            {layer.name: None for layer in model.layers if layer.weights} for model in (network, base.network)
        )
        tables = (_EMBEDDING, _WIDE) if len(self.ids) else ()
        not_taken = {name: "other shapes or words" for name in own if name not in (*self.layers, *tables)}
        not_taken |= {name: "the base model has none" for name in own if name not in of_base}
        not_taken |= {name: "the new network has none" for name in of_base if name not in own}
        if not_taken:
            facts["not_taken"] = ", ".join(f"{name} ({reason})" for name, reason in not_taken.items())
        return facts


def _shapes(network: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    """Returns the shapes of the weights of each layer that has some, except the tables of words."""
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in network.layers
        if layer.weights and layer.name not in (_EMBEDDING, _WIDE)
    }
