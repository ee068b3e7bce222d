import json

import pytest
from google.protobuf import text_format

from schema.data_set import AG_NEWS, SCHEMA_PATH, DataSet, describe_metric, describe_slice, read_data_set, read_schema
from schema.errors import SettingsError


@pytest.fixture
def edited(tmp_path):
    def edited(old, new):
        text = SCHEMA_PATH.read_text()
        assert old in text
        (tmp_path / "schema.pbtxt").write_text(text.replace(old, new))
        return tmp_path / "schema.pbtxt"

    return edited


def test_ag_news_is_the_default():
    assert AG_NEWS.class_names == ("World", "Sports", "Business", "Sci/Tech")
    assert AG_NEWS.slices[0] == "label=World"
    assert AG_NEWS.slices[-1] == "length_bucket=long"


@pytest.mark.parametrize(
    ("name", "slice_words", "accuracy_words"),
    [
        ("all", "all rows", "accuracy"),
        ("label=Business", "class Business", "recall of Business"),
        ("length_bucket=short", "short texts", "accuracy on short texts"),
    ],
)
def test_slices_and_metrics_are_described_in_words(name, slice_words, accuracy_words):
    assert describe_slice(name) == slice_words
    assert describe_metric("accuracy", name) == accuracy_words
    assert describe_metric("accuracy", name, is_change=True) == f"change of {accuracy_words}"


def test_a_description_is_passed_on_unchanged_in_any_script():
    data_set = DataSet(("体育", 'Störung \\ "x"'), ("all",), (), id_column="Nr.")
    assert DataSet.decode(data_set.encode()) == data_set
    assert "\\" not in data_set.encode()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('tag: "World"', 'tag: "Sports"', "class names of label must differ"),
        ('tag: "World" ', "", "int_domain of label must be 0 to 2"),
        ('tag: "World" tag: "Sports" tag: "Business"', "", "label has 1 class name"),
        ('tag: "210"', 'tag: "300"', "expected rising bounds"),
        ('name: "title"', 'name: "headline"', "has no feature title"),
        ("feature {\n", 'feature { name: "desk" type: INT }\nfeature {\n', "feature desk must have the type BYTES"),
        ("feature {\n", 'feature { name: "source_id" type: BYTES }\nfeature {\n', "source_id needs one annotation tag"),
        ("shape {", "shape (", r"schema\.pbtxt, line 16"),
    ],
)
def test_an_impossible_schema_is_refused_with_file_and_reason(edited, old, new, problem):
    file = edited(old, new)
    with pytest.raises(SettingsError, match=problem) as refused:
        read_data_set(file)
    assert str(file) in str(refused.value)


def test_a_missing_schema_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.pbtxt"):
        read_schema(tmp_path / "gone.pbtxt")


def test_a_thousand_classes_are_possible():
    schema = text_format.Parse(SCHEMA_PATH.read_text(), type(read_schema())())
    label = next(feature for feature in schema.feature if feature.name == "label")
    label.annotation.tag[:] = [f"class {index}" for index in range(1000)]
    label.int_domain.max = 999
    assert len(DataSet.of_schema(schema).class_names) == 1000


def test_an_encoded_data_set_needs_no_escapes_in_json():
    """ML Metadata cannot write a backslash to PostgreSQL."""
    data_set = DataSet(('a "quoted" \\ class', "Störung", "体育"), ("all",), ())
    encoded = data_set.encode()
    assert json.dumps(encoded) == f'"{encoded}"'
    assert DataSet.decode(encoded) == data_set


def test_further_features_are_columns_that_are_kept(edited):
    data_set = read_data_set(edited("feature {\n", 'feature { name: "desk" type: BYTES }\nfeature {\n'))
    assert data_set.kept_columns == ("desk",)
    assert DataSet.decode(data_set.encode()) == data_set
    assert AG_NEWS.kept_columns == ()
