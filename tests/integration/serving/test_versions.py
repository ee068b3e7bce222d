import os

import pytest
import tensorflow as tf

from serving.versions import explain_no_versions, fingerprint, list_versions, names_by_version


def test_names_by_version_groups_names_of_the_same_number():
    assert names_by_version(["7", "x", "10", "07", "-1"]) == {7: ["07", "7"], 10: ["10"]}


def test_a_version_is_an_int64_such_as_a_time_in_nanoseconds():
    nanoseconds, largest = "1795765275000000000", str(2**63 - 1)
    names = [nanoseconds, largest, str(2**63), "9" * 5000, "0" * 5000 + "7"]
    assert list(names_by_version(names)) == [7, int(nanoseconds), int(largest)]


def test_only_names_that_are_numbers_are_versions(tmp_path):
    for name in ("1", "00000123", "-5", "2a", ".incoming-3", "x", "9" * 19):
        (tmp_path / name).mkdir()
    assert list_versions(f"{tmp_path}/") == {1: f"{tmp_path}/1", 123: f"{tmp_path}/00000123"}


def test_a_missing_base_path_is_an_error(tmp_path):
    with pytest.raises(tf.errors.NotFoundError):
        list_versions(str(tmp_path / "gone"))


def test_fingerprint_changes_when_a_file_grows(tmp_path):
    (tmp_path / "a").write_text("1")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    (tmp_path / "a").write_text("12")
    assert fingerprint(str(tmp_path)) != before


def test_fingerprint_changes_when_files_become_readable(tmp_path):
    (tmp_path / "1").mkdir()
    strange = os.fsencode(tmp_path / "1") + b"/\xff"
    os.mkdir(strange)
    before = fingerprint(str(tmp_path / "1"))
    os.rmdir(strange)
    (tmp_path / "1" / "a").write_text("1")
    assert fingerprint(str(tmp_path / "1")) != before


@pytest.mark.parametrize(
    ("files", "path", "reason"),
    [
        ([], "models", "{0} does not exist: create it, or give the directory that contains the versions"),
        (["models"], "models", "{0} is not a directory: give the directory that contains the versions"),
        (["models/.incoming-1/file", "models/models.config"], "models", "{0} contains no version"),
        (["models/7/saved_model.pb"], "models/7", "{0} is itself a version: give its parent directory, {1}"),
        (["models/7/saved_model.pb"], "models/7/", "{0} is itself a version: give its parent directory, {1}"),
        (["models/saved_model.pb"], "models", "{0} is itself a SavedModel: move it to {0}/1"),
        (["models/agnews/7/saved_model.pb"], "models", "the versions are one level below: give {0}/agnews"),
        (["models/7/saved_model.pb"], "models", "the version policy selects none of the versions in {0}: 7"),
    ],
)
def test_the_reason_for_no_version_names_the_path_to_give(tmp_path, files, path, reason):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    parent = os.path.dirname(tmp_path / path)
    assert explain_no_versions(f"{tmp_path}/{path}").startswith(reason.format(tmp_path / path, parent))


def test_the_parent_of_a_relative_version_is_the_current_directory(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/saved_model.pb").touch()
    assert explain_no_versions("7").endswith("give its parent directory, .")
