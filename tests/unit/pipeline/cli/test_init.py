import os

import pytest
from click.testing import CliRunner

from components.model_card.owner import read_owner_statements
from pipeline.cli.init import init
from pipeline.settings.sources import load
from schema.errors import DataError, SettingsError
from tests.support.limits import full_disk
from tests.support.own_data import write_json_lines, write_tickets


@pytest.fixture
def describe(tmp_path, monkeypatch):
    """Runs `agnews init` and returns the settings that a run in its directory has."""

    def describe(*arguments):
        result = CliRunner().invoke(init, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        monkeypatch.chdir(tmp_path / "own")
        return load(environ={}).settings

    monkeypatch.chdir(tmp_path)
    return describe


def test_the_files_describe_the_data_set(describe, tmp_path):
    write_tickets(tmp_path / "tickets.csv")
    settings = describe("own", "--from", "tickets.csv")
    data_set = settings.data.data_set()
    assert data_set.class_names == ("Kündigung", "Rechnung", "Störung")
    assert data_set.length_buckets == ("short", "medium", "long")
    assert settings.data.row_format().text_columns == ("text",)
    assert settings.data.path == str(tmp_path)
    assert settings.data.test_fraction == 0.2
    assert settings.evaluator.min_accuracy == pytest.approx(0.43)
    assert (settings.pipeline.name, settings.pusher.model_name) == ("own", "own")
    statements = read_owner_statements(settings.model_card.owner_file)
    assert "Kündigung, Rechnung, Störung" in statements.overview


def test_test_files_and_shards_are_found_by_name(describe, tmp_path):
    words = {'sport "x"': "ball goal", "体育": "vote law"}
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test"):
        write_json_lines(tmp_path / f"{name}.jsonl", words, 30)
    settings = describe("own", "--from", "train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "test.jsonl")
    assert (settings.data.train_pattern, settings.data.test_pattern) == ("train-0000*-of-00002.jsonl", "test.jsonl")
    assert set(settings.data.data_set().class_names) == set(words)


def test_texts_of_one_length_have_one_bucket(describe, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "one text,a\ntwo text,b\n" * 20)
    assert describe("own", "--from", "a.csv", "--text", "text").data.data_set().length_buckets == ("short", "medium")


def test_existing_files_are_not_overwritten(describe, tmp_path):
    write_tickets(tmp_path / "tickets.csv")
    describe("own", "--from", "tickets.csv")
    os.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"own has agnews\.yaml, schema\.pbtxt, model_card\.yaml already"):
        CliRunner().invoke(init, ["own", "--from", "tickets.csv"], catch_exceptions=False)


def test_a_full_disk_leaves_no_files_so_that_the_command_can_be_repeated(describe, tmp_path):
    write_tickets(tmp_path / "tickets.csv")
    with full_disk(free=1500), pytest.raises(SettingsError, match="own: File too large"):
        CliRunner().invoke(init, ["own", "--from", "tickets.csv"], catch_exceptions=False)
    assert list((tmp_path / "own").iterdir()) == []


def test_the_next_command_can_be_pasted_into_a_shell(describe, tmp_path):
    write_tickets(tmp_path / "tickets.csv")
    result = CliRunner().invoke(init, ["my own", "--from", "tickets.csv"])
    assert result.output.endswith("then: cd 'my own' && agnews run\n")


def test_columns_for_slices_are_features_of_the_schema(describe, tmp_path):
    write_tickets(tmp_path / "tickets.csv")
    settings = describe("own", "--from", "tickets.csv", "--slice", "Kanal")
    assert settings.data.data_set().kept_columns == ("kanal",)
    assert settings.data.data_set().id_column == "nummer"
    assert settings.data.row_format().text_columns == ("text",)


def test_a_column_of_many_values_is_refused_for_slices(describe, tmp_path):
    write_tickets(tmp_path / "tickets.csv")
    with pytest.raises(DataError, match="column Nummer has 600 different values; a column for slices has at most 100"):
        describe("own", "--from", "tickets.csv", "--slice", "Nummer")
