import os

import pytest
import tensorflow as tf

from serving.server.source import Policy, aspired, fingerprint, nothing_to_serve, versions_on_disk

VERSIONS = {1: "/m/1", 2: "/m/2", 10: "/m/10"}


def test_only_numbers_are_versions(tmp_path):
    for name in ("1", "00000123", "-5", "2a", ".incoming-3", "x", "9" * 19):
        (tmp_path / name).mkdir()
    assert versions_on_disk(f"{tmp_path}/") == {1: f"{tmp_path}/1", 123: f"{tmp_path}/00000123"}


def test_a_missing_base_path_is_an_error_not_an_empty_list(tmp_path):
    with pytest.raises(tf.errors.NotFoundError):
        versions_on_disk(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (Policy(), [10]),
        (Policy(latest={"num_versions": 2}), [2, 10]),
        (Policy(all={}), [1, 2, 10]),
        (Policy(specific={"versions": [1, 3]}), [1]),
    ],
)
def test_the_policy_chooses(policy, wanted):
    assert sorted(aspired(VERSIONS, policy, failing=lambda number: False)) == wanted


def test_a_version_that_fails_does_not_count_against_the_latest():
    assert sorted(aspired(VERSIONS, Policy(), failing=lambda number: number == 10)) == [2, 10]


def test_the_fingerprint_tells_that_a_file_grew(tmp_path):
    (tmp_path / "a").write_text("1")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    (tmp_path / "a").write_text("12")
    assert fingerprint(str(tmp_path)) != before


def test_the_fingerprint_of_what_cannot_be_read_is_another_when_it_can(tmp_path):
    (tmp_path / "1").mkdir()
    strange = os.fsencode(tmp_path / "1") + b"/\xff"
    os.mkdir(strange)
    before = fingerprint(str(tmp_path / "1"))
    os.rmdir(strange)
    (tmp_path / "1" / "a").write_text("1")
    assert fingerprint(str(tmp_path / "1")) != before


@pytest.mark.parametrize(
    ("files", "path", "says"),
    [
        ([], "models", "{0} does not exist: create it, or name the directory that holds the versions"),
        (["models"], "models", "{0} is no directory: name the one that holds the versions"),
        (["models/.incoming-1/file", "models/models.config"], "models", "{0} holds no version"),
        (["models/7/saved_model.pb"], "models/7", "{0} is itself a version: name the directory above it, {1}"),
        (["models/7/saved_model.pb"], "models/7/", "{0} is itself a version: name the directory above it, {1}"),
        (["models/saved_model.pb"], "models", "{0} is itself a SavedModel: move it to {0}/1"),
        (["models/agnews/7/saved_model.pb"], "models", "the versions are one level below: name {0}/agnews"),
        (["models/7/saved_model.pb"], "models", "the policy asks for none of the versions in {0}: 7"),
    ],
)
def test_why_there_is_nothing_to_serve_is_said_with_the_path_to_give(tmp_path, files, path, says):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    above = os.path.dirname(tmp_path / path)
    assert nothing_to_serve(f"{tmp_path}/{path}").startswith(says.format(tmp_path / path, above))


def test_the_directory_above_a_relative_version_is_named(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/saved_model.pb").touch()
    assert nothing_to_serve("7").endswith("name the directory above it, .")
