"""Tests `agnews classify` with files that only TensorFlow can read."""

import json

from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import DataError
from tests.support.own_data import write_tfds


def test_tfrecords_of_the_training_data_are_read(server, tmp_path):
    path = tmp_path / "ag_news_subset-test.tfrecord-00000-of-00001"
    write_tfds(path, (b"oil rises", b"today", 2), (b"", b"", 1), (b"late goal", b"", 1))
    ended = CliRunner().invoke(cli, ["classify", "--server", server.address, "--file", str(path), "--format", "jsonl"])
    first, bad, last = map(json.loads, ended.stdout.splitlines())
    assert (first["label"], first["title"], last["label"]) == ("Business", "oil rises", "Sports")
    assert bad == {"row": 2, "error": "title and description are empty"}
    assert isinstance(ended.exception, DataError)
