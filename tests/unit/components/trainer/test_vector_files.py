"""Damaged and endless files of word vectors, which are refused before they fill the memory."""

import gzip
import os

import pytest

from components.trainer.settings import MAX_DIMENSIONS, TrainerSettings
from components.trainer.vector_files import check_vectors
from pipeline.settings.sources import load
from schema.errors import SettingsError


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.bin.gz"])
def test_a_header_of_huge_vectors_is_damaged(tmp_path, name):
    path = tmp_path / name
    content = b"3 999999999\na 1 2"
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(SettingsError, match="its header is damaged: vectors with 999999999 elements; get the complete"):
        check_vectors(path, 64)


def test_the_width_of_word_vectors_has_a_limit():
    with pytest.raises(SettingsError, match=f"less than or equal to {MAX_DIMENSIONS} "):
        load(flags={"trainer.embedding_dim": ("999999999", "flag --set trainer.embedding_dim")})


def test_a_file_without_line_ends_is_refused_before_it_is_read_whole(tmp_path):
    path = tmp_path / "vectors.txt"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SettingsError, match="line 1 has more than 1048576 bytes"):
        check_vectors(path, 64)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "."])
def test_only_a_regular_file_is_read(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="it is not a regular file; name a file of word2vec or GloVe"):
        TrainerSettings(word_vectors=str(tmp_path / name)).check_word_vectors()
