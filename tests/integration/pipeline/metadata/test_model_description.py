import json
import shutil

import pytest
import tensorflow as tf

from pipeline.metadata.model_description import describe_model
from schema.errors import DataError
from schema.features import CLASS_NAMES


@pytest.fixture(scope="module")
def description(exported):
    return describe_model(exported, "Oil PRICES soar", "The market was calm.")


def test_tokens_are_the_words_and_a_new_word_is_unknown(description):
    words = [token.word for token in description.tokens]
    assert words == ["oil", "prices", "[unknown]", "the", "market", "was", "calm"]
    assert [token.known for token in description.tokens] == [word != "[unknown]" for word in words]


def test_token_ids_are_the_input_of_the_network(description, transform_output):
    raw = {"title": tf.constant([["oil prices soar"]]), "description": tf.constant([["the market was calm"]])}
    given = transform_output.transform_features_layer()(raw)["token_ids"]
    assert [token.id for token in description.tokens] == given.values.numpy().tolist()


def test_probabilities_are_sorted_and_equal_the_exports(description, exported):
    answer = tf.saved_model.load(str(exported)).signatures["serving_default"](
        title=tf.constant(["Oil PRICES soar"]), description=tf.constant(["The market was calm."])
    )
    expected = dict(zip(CLASS_NAMES, answer["probabilities"].numpy()[0].tolist(), strict=True))
    assert description.probabilities == pytest.approx(expected, abs=1e-6)
    assert list(description.probabilities.values()) == sorted(expected.values(), reverse=True)
    assert next(iter(description.probabilities)) == answer["label"].numpy()[0].decode()


def test_facts_are_the_records_of_the_training(description, tiny_settings):
    facts = description.facts
    assert facts["architecture"] == tiny_settings.architecture
    assert facts["recipe"]["epochs"] == tiny_settings.epochs
    assert facts["rows"] == 80
    assert facts["parameters"] == sum(layer["parameters"] for layer in facts["layers"])


def test_an_empty_example_has_one_unknown_token(exported):
    assert [token.word for token in describe_model(exported, "", " ").tokens] == ["[unknown]"]


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copied")


def test_the_error_names_a_directory_without_a_saved_model(tmp_path):
    with pytest.raises(DataError, match=rf"^{tmp_path / 'gone'}: no SavedModel there; .*agnews run"):
        describe_model(tmp_path / "gone", "", "")


def test_the_error_names_a_saved_model_of_another_project(copied):
    (copied / "assets.extra" / "training.json").unlink()
    with pytest.raises(DataError, match=rf"^{copied}: not an export of this pipeline.*training\.json; .*agnews run"):
        describe_model(copied, "", "")


def test_the_error_names_facts_that_are_not_json(copied):
    (copied / "assets.extra" / "training.json").write_text("{")
    with pytest.raises(DataError, match=rf"^{copied}: cannot read assets\.extra/training\.json"):
        describe_model(copied, "", "")


def test_the_error_names_a_broken_saved_model(copied):
    (copied / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(DataError, match=rf"^{copied}: cannot load the SavedModel"):
        describe_model(copied, "", "")


def test_a_word_may_contain_a_unicode_line_break(copied):
    vocabulary = copied / "assets" / "vocabulary"
    words = vocabulary.read_text().split("\n")
    vocabulary.write_text("\n".join(["the\x85re", *words[1:]]), encoding="utf-8", newline="\n")
    tokens = describe_model(copied, "oil", "the\x85re").tokens
    assert [token.word for token in tokens] == ["oil", "the\x85re"]
    assert json.loads((copied / "assets.extra" / "training.json").read_text())["rows"] == 80
