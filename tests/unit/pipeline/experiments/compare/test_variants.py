import pytest

from pipeline.experiments.compare.variants import named_recipes
from pipeline.settings import TrainerSettings
from schema.errors import SettingsError

SETTINGS = TrainerSettings(epochs=7)


def test_a_network_without_variants_has_the_given_settings():
    [(name, recipe)] = named_recipes(SETTINGS, ["lstm"], []).items()
    assert (name, recipe.architecture, recipe.epochs) == ("lstm", "lstm", 7)


def test_each_network_is_trained_plain_and_in_each_variant():
    names = list(named_recipes(SETTINGS, ["lstm", "simple_rnn"], ["a:epochs=1", "b:epochs=2"]))
    assert names == ["lstm", "lstm, a", "lstm, b", "simple_rnn", "simple_rnn, a", "simple_rnn, b"]


def test_a_variant_changes_only_its_settings():
    recipes = named_recipes(SETTINGS, ["lstm"], ["other:masking=false;bucket_boundaries=[8, 16];units=null"])
    changed = recipes["lstm, other"]
    assert (changed.masking, changed.bucket_boundaries, changed.units) == (False, (8, 16), None)
    assert (recipes["lstm"].masking, changed.architecture, changed.epochs) == (None, "lstm", 7)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("no mask:maskng=false", r"--variant no mask:maskng=false: unknown setting 'trainer.maskng'; .*config keys"),
        ("no mask:masking", "expected NAME:KEY=VALUE"),
        ("no mask", "expected NAME:KEY=VALUE"),
        (":masking=false", "expected NAME:KEY=VALUE"),
        ("less:epochs=-1", r"--variant less: trainer.epochs: .*greater than 0 \(received -1\)"),
        ("falling:bucket_boundaries=[8, 4]", "--variant falling: trainer.*bucket_boundaries must rise"),
        ("open:bucket_boundaries=[8", r"bucket_boundaries: '\[8' is not valid YAML"),
        ("again:epochs=2", "another variant has this name"),
    ],
)
def test_the_error_names_a_wrong_variant(variant, message):
    with pytest.raises(SettingsError, match=message):
        named_recipes(SETTINGS, ["lstm"], ["again:epochs=1", variant])
