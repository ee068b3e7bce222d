"""Tests trainings that start from an earlier model's weights."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from components.trainer.export import export_saved_model, write_facts
from components.trainer.training import build, train
from components.trainer.warm_start import BaseModel, Overlap, read_base_model
from components.trainer.wide import pair_rows
from schema.errors import RunError
from schema.model_contract import RESERVED_IDS, TRAINING_FACTS


def network(recipe, words):
    return build(recipe, vocabulary_size=len(words) + RESERVED_IDS, use_cudnn=False)


def vectors(model):
    return model.get_layer("embedding").get_weights()[0]


@pytest.fixture
def base(recipe, words):
    """A base model with all words but the last ten, and ten others, in another order."""
    its_words = [*words[:-10][::-1], *(f"other{index}" for index in range(10))]
    return BaseModel("earlier", its_words, network(recipe(seed=5), its_words))


def test_an_export_is_read_back_with_its_words_and_weights(transform_output, recipe, tmp_path):
    words = [word.decode() for word in transform_output.vocabulary_by_name("vocabulary")]
    written = network(recipe(seed=9), words)
    export_saved_model(written, transform_output, str(tmp_path / "export"))
    of_today = recipe(seed=9).model_dump()
    before_wide = {name: value for name, value in of_today.items() if name != "wide"}
    for stored in (of_today, before_wide):
        write_facts({"recipe": stored}, str(tmp_path / "export"))
        read = read_base_model(str(tmp_path / "export"))
        assert read.words == words
        for one, other in zip(written.get_weights(), read.network.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("facts", [None, "{}"], ids=["nothing is there", "it is another one's"])
def test_an_unreadable_base_model_is_reported_with_advice(tmp_path, facts):
    if facts:
        (tmp_path / TRAINING_FACTS).parent.mkdir()
        (tmp_path / TRAINING_FACTS).write_text(facts)
    with pytest.raises(RunError, match=rf"{tmp_path} cannot be read: .*trainer\.warm_start=false"):
        read_base_model(str(tmp_path))


def test_shared_words_keep_their_vectors_under_other_ids(train_rows, recipe, words, base):
    new = network(recipe(), words)
    Overlap.of(new, words, base).copy_weights(new, base, train_rows)
    for number, word in enumerate(words[:-10]):
        base_number = base.words.index(word)
        np.testing.assert_array_equal(
            vectors(new)[number + RESERVED_IDS], vectors(base.network)[base_number + RESERVED_IDS]
        )
    np.testing.assert_array_equal(vectors(new)[:RESERVED_IDS], vectors(base.network)[:RESERVED_IDS])


def test_the_rotation_also_aligns_words_the_base_model_lacks(train_rows, recipe, words, base):
    new = network(recipe(), words)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    meant = np.random.default_rng(2).normal(size=(len(words) + RESERVED_IDS, 8)).astype(np.float32)
    new.get_layer("embedding").set_weights([2 * meant @ rotation])
    table = np.zeros_like(vectors(base.network))
    ids, base_ids = Overlap.of(new, words, base).ids, Overlap.of(new, words, base).base_ids
    table[base_ids] = meant[ids]
    base.network.get_layer("embedding").set_weights([table])
    Overlap.of(new, words, base).copy_weights(new, base, train_rows)
    np.testing.assert_allclose(vectors(new)[RESERVED_IDS:], meant[RESERVED_IDS:], atol=1e-5)


def test_layers_of_the_same_shapes_are_copied(train_rows, recipe, words, base):
    new = network(recipe(), words)
    overlap = Overlap.of(new, words, base)
    assert overlap.layers == ("recurrent_1", "recurrent_2", "logits")
    overlap.copy_weights(new, base, train_rows)
    for name in overlap.layers:
        for one, other in zip(
            new.get_layer(name).get_weights(), base.network.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_layers_of_other_shapes_are_not_copied(train_rows, recipe, words, base):
    new = network(recipe(units=6), words)
    before = new.get_layer("recurrent_1").get_weights()
    overlap = Overlap.of(new, words, base)
    overlap.copy_weights(new, base, train_rows)
    assert overlap.layers == ()
    assert len(overlap.ids) == len(words) - 10
    for one, other in zip(before, new.get_layer("recurrent_1").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_word_vectors_of_another_width_are_not_copied(train_rows, recipe, words, base):
    new = network(recipe(embedding_dim=6), words)
    before = vectors(new)
    Overlap.of(new, words, base).copy_weights(new, base, train_rows)
    np.testing.assert_array_equal(before, vectors(new))


@pytest.fixture
def trained(train_rows, val_rows, words, recipe, tmp_path):
    def run(root, base=None, **changes):
        # Without copies, which would need a second compilation.
        plain = recipe(architecture="lstm", consistency=0.0, perturbation=0.0, **changes)
        return train(train_rows, val_rows, words, plain, checkpoint_root=str(tmp_path / root), base=base)

    return run


def test_a_warm_start_begins_with_a_lower_loss(trained, words, caplog):
    first = trained("a", epochs=6)
    base = BaseModel("earlier", words, first.network)
    with caplog.at_level("INFO", logger="components.trainer.training"):
        warm, cold = trained("b", base, epochs=1), trained("c", epochs=1)
    assert warm.facts["history"]["loss"][0] < 0.5 * cold.facts["history"]["loss"][0]
    assert warm.facts["warm_start"] == {
        "base_model": "earlier",
        "words_taken": "38 of 38",
        "layers_taken": "2 of 2",
    }
    assert "warm_start" not in cold.facts
    assert [record.fields for record in caplog.records if record.message == "warm start"] == [warm.facts["warm_start"]]


def test_a_cold_training_does_not_resume_a_warm_one(trained, words):
    base = BaseModel("earlier", words, trained("a", epochs=1).network)
    # A finished training whose files were not removed simulates a killed one.
    trained("shared", base, epochs=1)
    cold, alone = trained("shared", epochs=1), trained("alone", epochs=1)
    for one, other in zip(cold.network.get_weights(), alone.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_weights_of_shared_words_and_of_their_pairs_are_copied(train_rows, recipe, words, base):
    base = replace(base, network=network(recipe(wide=True), base.words))
    new = network(recipe(wide=True), words)
    wide, base_wide = (model.get_layer("wide") for model in (new, base.network))
    base_wide.set_weights([np.random.default_rng(1).normal(size=weight.shape) for weight in base_wide.weights])
    Overlap.of(new, words, base).copy_weights(new, base, train_rows)
    (own_words, own_pairs), (base_words, base_pairs) = wide.get_weights(), base_wide.get_weights()
    ids = train_rows.token_ids[slice(*train_rows.offsets[1:3])].astype(np.int64)
    first, second = next(pair for pair in itertools.pairwise(ids) if max(pair) < len(words) - 10 + RESERVED_IDS)
    base_first, base_second = (
        base.words.index(words[number - RESERVED_IDS]) + RESERVED_IDS for number in (first, second)
    )
    np.testing.assert_array_equal(own_words[first], base_words[base_first])
    np.testing.assert_array_equal(own_pairs[pair_rows(first, second)], base_pairs[pair_rows(base_first, base_second)])
    assert not own_words[len(words) - 10 + RESERVED_IDS :].any()
    # The last word of a text and the first of the next are no pair, and neither are pairs with a word that is new.
    assert 0 < np.count_nonzero(own_pairs.any(axis=1)) < len(train_rows.token_ids)


SHARED = ("recurrent_1", "recurrent_2", "logits")


@pytest.mark.parametrize(
    ("changes", "base_changes", "taken", "not_taken"),
    [
        ({"wide": True}, {}, SHARED, "wide (the base model has none)"),
        ({}, {"wide": True}, SHARED, "wide (the new network has none)"),
        ({"wide": True}, {"wide": True}, SHARED, None),
        ({"depth": 1}, {}, ("logits",), "recurrent_2 (the new network has none)"),
    ],
    ids=["wide now", "wide before", "wide", "a layer less"],
)
def test_what_a_warm_start_leaves_out_is_named(recipe, words, train_rows, changes, base_changes, taken, not_taken):
    base = BaseModel("earlier", words, network(recipe(**base_changes), words))
    new = network(recipe(**changes), words)
    untrained = [weight for layer in new.layers if layer.name == "wide" for weight in layer.get_weights()]
    overlap = Overlap.of(new, words, base)
    overlap.copy_weights(new, base, train_rows)
    assert set(taken) <= set(overlap.layers)
    np.testing.assert_array_equal(vectors(new), vectors(base.network))
    for name in taken:
        for one, other in zip(
            new.get_layer(name).get_weights(), base.network.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    if untrained:
        for one, other in zip(untrained, new.get_layer("wide").get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert overlap.facts(new, words, base).get("not_taken") == not_taken
