import os

import pytest

from pipeline.cli.outputs import check_file, make_directory
from schema.errors import SettingsError


def test_a_file_that_can_be_written_is_neither_made_nor_changed(tmp_path):
    check_file("--output", tmp_path / "new.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.json").write_text("old")
    check_file("--output", tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "old"


def test_one_that_cannot_is_told_with_the_option(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=rf"^--output {tmp_path}/gone/x: No such file or directory; name a place"):
        check_file("--output", tmp_path / "gone/x")
    (tmp_path / "old.json").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # The root user can always write.
    with pytest.raises(SettingsError, match="json: Permission denied"):
        check_file("--output", tmp_path / "old.json")


def test_a_directory_is_made_and_left_empty(tmp_path):
    make_directory("--to", tmp_path / "a/b")
    make_directory("--to", tmp_path / "a/b")
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="Not a directory"):
        make_directory("--to", tmp_path / "file/b")
