import hashlib
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.audit import differences, fingerprint, manifest


@pytest.fixture
def export(tmp_path):
    (tmp_path / "export/variables").mkdir(parents=True)
    (tmp_path / "export/saved_model.pb").write_bytes(b"graph")
    (tmp_path / "export/variables/variables.index").write_bytes(b"index")
    return tmp_path / "export"


def test_a_copy_has_the_same_fingerprint(export, tmp_path):
    shutil.copytree(export, tmp_path / "copy")
    assert fingerprint(manifest(export)) == fingerprint(manifest(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda export: (export / "saved_model.pb").write_bytes(b"Graph"), "differs: saved_model.pb"),
        (lambda export: (export / "variables/variables.index").unlink(), "missing: variables/variables.index"),
        (lambda export: (export / "variables/more").write_bytes(b""), "extra: variables/more"),
        (lambda export: (export / "assets").symlink_to(export.parent), "extra: assets"),
        (lambda export: os.mkfifo(export / "pipe"), "extra: pipe"),
    ],
    ids=["content", "missing", "extra", "link", "pipe"],
)
def test_any_change_of_the_files_gives_another_fingerprint_and_is_named(export, change, line):
    before = manifest(export)
    change(export)
    after = manifest(export)
    assert fingerprint(after) != fingerprint(before)
    assert differences(before, after) == [line]


def test_a_file_replaced_by_a_link_to_the_same_content_is_another_model(export, tmp_path):
    before = manifest(export)
    (export / "saved_model.pb").rename(tmp_path / "elsewhere")
    (export / "saved_model.pb").symlink_to(tmp_path / "elsewhere")
    assert differences(before, manifest(export)) == ["differs: saved_model.pb"]


def test_a_missing_directory_is_no_empty_model(tmp_path):
    with pytest.raises(FileNotFoundError):
        manifest(tmp_path / "gone")


def test_a_fingerprint_is_that_of_names_and_contents_in_order(export):
    graph, index = (hashlib.sha256(content).digest() for content in (b"graph", b"index"))
    together = b"saved_model.pb\0" + graph + b"variables/variables.index\0" + index
    assert fingerprint(manifest(export)) == hashlib.sha256(together).hexdigest()


NAMES = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.sampled_from(["ab" * 32, "cd" * 32]),
    max_size=4,
)


@given(NAMES, NAMES)
def test_fingerprints_are_the_same_only_for_the_same_names_and_contents(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert (differences(one, other) == []) == (one == other)
