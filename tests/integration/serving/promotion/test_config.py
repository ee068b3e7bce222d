import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from serving.promotion.config import Served, other_places, parse, replace, replace_served, served_of


def config_of(policy):
    text = f"model_config_list {{ config {{ name: 'agnews' model_version_policy {{ {policy} }} }} }}"
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", {9}),
        ("latest {}", {9}),
        ("latest { num_versions: 2 }", {5, 9}),
        ("all {}", {1, 5, 9}),
        ("specific { versions: 5 }", {5}),
        ("specific { versions: 5 versions: 7 }", {5, 7}),
    ],
)
def test_a_policy_means_what_tensorflow_serving_makes_of_it(policy, versions):
    assert served_of(config_of(policy), "agnews", [1, 5, 9]).versions == versions


def test_a_model_without_an_entry_is_served_by_the_default_policy():
    assert served_of(config_of("all {}"), "another", [1, 5, 9]) == Served(frozenset({9}), {})


def test_nothing_is_in_production_where_nothing_was_pushed():
    assert served_of(model_server_config_pb2.ModelServerConfig(), "agnews", []).production_version is None


@given(
    versions=st.frozensets(st.integers(0, 2**63 - 1), min_size=1, max_size=5),
    folder=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=20),
    data=st.data(),
)
def test_what_is_written_is_what_is_read_whatever_the_directory_is_called(tmp_path_factory, versions, folder, data):
    labels = data.draw(st.dictionaries(st.sampled_from(["stable", "canary"]), st.sampled_from(sorted(versions))))
    served = Served(versions, labels)
    path = tmp_path_factory.getbasetemp() / folder / "models.config"
    text = replace_served("", path, "agnews", served)
    config = parse(text, path)
    assert served_of(config, "agnews", []) == served
    assert config.model_config_list.config[0].base_path == str(path.with_name("agnews"))
    assert replace_served(text, path, "agnews", served) == text


@pytest.mark.parametrize("base_path", ["/models/agnews", "gs://bucket/agnews", "other/agnews", "{here}/other", ""])
def test_a_model_that_is_loaded_from_elsewhere_is_reported(tmp_path, base_path):
    base_path = base_path.format(here=tmp_path)
    text = f"model_config_list {{ config {{ name: 'agnews' base_path: '{base_path}' }} }}"
    [note] = other_places(parse(text, tmp_path / "models.config"), tmp_path).values()
    assert note.startswith(f"models.config loads agnews from {base_path}; that is not what was checked")


@pytest.mark.parametrize("base_path", ["{here}/agnews", "{here}/x/../agnews/", "{here}/link", "agnews"])
def test_the_same_directory_by_another_name_is_not(tmp_path, monkeypatch, base_path):
    (tmp_path / "agnews").mkdir()
    (tmp_path / "link").symlink_to("agnews")
    monkeypatch.chdir(tmp_path)
    text = f"model_config_list {{ config {{ name: 'agnews' base_path: '{base_path.format(here=tmp_path)}' }} }}"
    assert other_places(parse(text, tmp_path / "models.config"), tmp_path) == {}


def test_a_replaced_file_leaves_no_other_file(tmp_path):
    path = tmp_path / "models.config"
    for text in ("one", "two"):
        replace(path, text)
        assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["models.config"]
    replace(path, "")
    assert list(tmp_path.iterdir()) == []
