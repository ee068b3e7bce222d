import os

import pytest
import tensorflow as tf

from serving.versions import fingerprint, list_versions, names_by_version


def test_names_by_version_groups_names_of_the_same_number():
    assert names_by_version(["7", "x", "10", "07", "-1"]) == {7: ["07", "7"], 10: ["10"]}


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
