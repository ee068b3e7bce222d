from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.settings import MetadataSettings, Settings, TrainerSettings
from schema.errors import SettingsError

SERVER = {"backend": "postgresql", "host": "db", "port": 5432, "database": "agnews", "user": "agnews"}


def test_local_places_are_absolute_and_remote_ones_stay():
    settings = Settings.model_validate({"pipeline": {"root": "runs"}, "pusher": {"destination": "gs://bucket/serving"}})
    assert settings.pipeline.root == str(Path("runs").absolute())
    assert settings.pusher.destination == "gs://bucket/serving"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"pipeline": {"root": "gs://bucket/runs"}}, "postgresql or mysql"),
        ({"data": {"train_pattern": "a.csv"}}, "go together"),
        ({"data": {"train_pattern": "a.csv", "test_pattern": "b.csv"}}, "need path"),
        ({"data": {"test_fraction": 0.2, "test_pattern": "b.csv", "path": "."}}, "exclude each other"),
        ({"data": {"span": 3}}, r"\{SPAN\}"),
        ({"data": {"window": 2}}, r"window needs a train_pattern that holds \{SPAN\}"),
        ({"data": {"span": "2026-02-31"}}, "expected a whole number, or a date as YYYY-MM-DD"),
        ({"alerts": {"smtp_host": "mail"}}, "needs mail_from and mail_to"),
        ({"alerts": {"webhook_url": "a", "webhook_url_file": "b"}}, "exclude each other"),
        ({"alerts": {"events": ["success"]}}, "failed"),
        ({"trainer": {"bucket_boundaries": [40, 20]}}, "must rise"),
        ({"trainer": {"warmup_requests": 1001}}, "less than or equal to 1000"),
        ({"metadata": {"backend": "postgresql"}}, "needs host"),
        ({"metadata": SERVER | {"password": "a", "password_file": "b"}}, "exclude each other"),
        ({"pusher": {"model_name": "../elsewhere"}}, "pattern"),
        ({"evaluator": {"min_accuracy": 91}}, "less than or equal to 1"),
        ({"promotion": {"audit_log": "gs://bucket/audit.jsonl"}}, "must be in a file system"),
    ],
)
def test_impossible_values_and_combinations_are_refused(tree, message):
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(tree)


def test_the_password_is_read_from_its_file(tmp_path):
    (tmp_path / "password").write_text("secret\n")
    assert MetadataSettings(**SERVER, password_file=tmp_path / "password").read_password() == "secret"


def test_an_unreadable_password_file_is_a_users_error(tmp_path):
    with pytest.raises(SettingsError, match=r"metadata\.password_file"):
        MetadataSettings(**SERVER, password_file=tmp_path / "gone").read_password()


def test_the_password_is_not_shown():
    assert "secret" not in repr(MetadataSettings(**SERVER, password="secret"))


@pytest.mark.parametrize("span", [20513, "2026-03-01", "20513"])
def test_a_span_is_a_number_or_a_date(span):
    patterns = {"train_pattern": "{YYYY}-{MM}-{DD}/train.csv", "test_pattern": "{YYYY}-{MM}-{DD}/test.csv"}
    data = Settings.model_validate({"data": {"path": "here", "span": span, **patterns}}).data
    assert data.span == 20513


def test_the_secrets_of_alerts_are_not_shown():
    assert "hidden" not in repr(
        Settings.model_validate({"alerts": {"webhook_url": "hidden", "smtp_password": "hidden"}})
    )


def test_a_file_of_word_vectors_is_looked_for_on_this_machine_alone(tmp_path):
    (tmp_path / "vectors.vec").write_text("oil 1 2 3\n. . . 1 2 3\ngoal 1 2 3\n")
    for place in ("random", "learned", str(tmp_path / "vectors.vec"), "gs://bucket/vectors.vec"):
        TrainerSettings(word_vectors=place, embedding_dim=3).check_word_vectors()
    with pytest.raises(SettingsError, match=r"trainer\.word_vectors lerned: No such file .* or set it to random or"):
        TrainerSettings(word_vectors="lerned").check_word_vectors()


def test_the_network_has_the_width_of_the_vectors_of_glove():
    with pytest.raises(ValidationError, match="of 50, 100, 200, 300 elements and the network takes 128: set embedding"):
        TrainerSettings(word_vectors="glove")
    TrainerSettings(word_vectors="glove", embedding_dim=100).check_word_vectors()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty"),
        ("oil 1 2 3\n", "its vectors have 3 elements and the network takes 128: set trainer.embedding_dim to 3"),
        ("999999999 300\n", "its vectors have 300 elements and the network takes 128"),
        ("oil" + " 1" * 128 + "\ngoal" + " x" * 128 + "\n", "line 2: expected a word and 128 finite numbers"),
    ],
)
def test_the_content_of_a_vectors_file_is_checked_before_a_run(tmp_path, content, message):
    (tmp_path / "vectors.txt").write_text(content)
    with pytest.raises(SettingsError, match=message):
        TrainerSettings(word_vectors=str(tmp_path / "vectors.txt")).check_word_vectors()


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("pipeline.root", "runs [1]"),
        ("pipeline.root", "gs://bucket/runs*"),
        ("pusher.destination", "serving?"),
        ("pusher.destination", "back\\slash"),
        ("beam.temp_location", "gs://bucket/[x]"),
        ("kubeflow.pipeline_root", "gs://bucket/[x]"),
    ],
)
def test_a_place_that_tensorflow_takes_for_a_pattern_is_named(key, place):
    section, _, name = key.partition(".")
    dataflow = {"runner": "dataflow", "image": "i", "project": "p", "region": "r", "temp_location": "gs://b/t"}
    tree = {"metadata": SERVER, "beam": dataflow}
    tree[section] = tree.get(section, {}) | {name: place}
    settings = Settings.model_validate(tree)
    with pytest.raises(SettingsError, match=rf"^{key} "):
        settings.check_places()


def test_a_working_directory_that_tensorflow_takes_for_a_pattern_is_named(tmp_path, monkeypatch):
    (tmp_path / "project [1]").mkdir()
    monkeypatch.chdir(tmp_path / "project [1]")
    settings = Settings.model_validate({"pipeline": {}})  # Commands that write no artifacts go on.
    with pytest.raises(SettingsError, match=r"^pipeline\.root .*project \[1\]/runs: .*working directory"):
        settings.check_places()


def test_other_characters_are_good_in_every_place():
    odd = "/srv/b l a n k/é東/{SPAN}/#%41/'q'\"/a]b/~"
    Settings.model_validate({"pipeline": {"root": odd}, "pusher": {"destination": odd}}).check_places()


def test_default_locations_are_in_the_directory_of_the_moment(tmp_path, monkeypatch):
    """Not in the one in which Python imported the settings."""
    monkeypatch.chdir(tmp_path)
    assert Settings().pipeline.root == str(tmp_path / "runs")
    assert Settings().pusher.destination == str(tmp_path / "serving_model")


@pytest.mark.parametrize("columns", [["text", "Text"], [""]])
def test_text_columns_differ_and_have_names(columns):
    with pytest.raises(ValueError, match="text_columns"):
        Settings.model_validate({"data": {"text_columns": columns}})


def test_texts_that_must_pass_have_the_columns_of_the_training_data(tmp_path):
    file = tmp_path / "must_pass.csv"
    file.write_text("Desk,Head,Body\nSports,Late goal,wins the cup\n3,Oil,\n")
    data = {"label_column": "Desk", "text_columns": ["Head", "Body"], "first_class": 1}
    settings = Settings.model_validate({"data": data, "evaluator": {"must_pass_file": str(file)}})
    assert settings.must_pass_texts() == [
        {"title": "Late goal", "description": "wins the cup", "expected": "Sports"},
        {"title": "Oil", "description": "", "expected": "Business"},
    ]
    assert Settings().must_pass_texts() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,text\nSport,goal\n", r"row 2: unknown_class: class 'Sport', known are World.*correct it there"),
        ("label,text\n", r"has no rows; add some"),
        ("label,text\n" + "0,goal\n" * 1001, r"more than 1,000 rows"),
        ("name,text\na,b\n", r"label is missing|name, text"),
        (None, r"No such file"),
    ],
)
def test_a_bad_file_of_texts_that_must_pass_is_named(tmp_path, text, message):
    file = tmp_path / "must_pass.csv"
    if text is not None:
        file.write_text(text)
    settings = Settings.model_validate({"evaluator": {"must_pass_file": str(file)}})
    with pytest.raises(SettingsError, match=rf"evaluator\.must_pass_file: {file}.*({message})"):
        settings.must_pass_texts()
