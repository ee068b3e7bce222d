import csv
import datetime
import gzip
import json
import os

import pytest

from schema.errors import DataError, SettingsError
from schema.features import CLASS_NAMES
from schema.interruption import Interrupted
from tests.support import direct_runner

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Returns a SavedModel with the pipeline's signature that answers Sports for `goal`, and World otherwise."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.sports = tf.Variable([0.1, 0.7, 0.1, 0.1])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name) for name in ("title", "description")])
        def __call__(self, title, description):
            goal = tf.strings.regex_full_match(title + " " + description, "(?s).*goal.*")
            probabilities = tf.where(goal[:, None], self.sports, tf.constant([0.7, 0.1, 0.1, 0.1]))
            return {
                "classes": tf.broadcast_to(tf.constant(CLASS_NAMES), tf.shape(probabilities)),
                "probabilities": probabilities,
            }

    directory = str(tmp_path_factory.mktemp("model") / "17")
    module = Model()
    tf.saved_model.save(module, directory, signatures={"serving_default": module.__call__})
    return directory


@pytest.fixture
def score(model, tmp_path):
    """Classifies files into a new directory; returns the directory."""
    from serving.batch import score_files

    def run(*patterns, model=model, output=tmp_path / "out", args=None):
        score_files(
            [str(pattern) for pattern in patterns],
            model,
            str(output),
            args or direct_runner.options(),
            clock=lambda: NOON,
        )
        return output

    return run


def lines(directory, name):
    return [json.loads(line) for file in sorted(directory.glob(f"{name}-*")) for line in file.open(encoding="utf-8")]


def test_every_row_is_scored_or_in_quarantine(score, tmp_path):
    rows = [(index, "goal" if index % 3 else "vote", "") for index in range(1500)]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "title", "description"), *rows, ("bad", "", ""), ("short",)])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"id": 9, "title": "goal"}\n{"title": 7}\n'))
    (tmp_path / "c.tsv").write_text("title\tdescription\nvote\tgoal\n")
    files = (tmp_path / "*.csv", tmp_path / "b.jsonl.gz", tmp_path / "c.tsv")
    output = score(*files)
    scored = {(line["file"], line["id"]): line for line in lines(output, "predictions")}
    assert len(scored) == 1502
    assert scored[str(tmp_path / "c.tsv"), None]["label"] == "Sports"
    for index, title, _ in rows:
        line = scored[str(tmp_path / "a.csv"), str(index)]
        assert (line["label"], line["row"], line["model_version"]) == (
            "Sports" if title == "goal" else "World",
            index + 2,
            17,
        )
    assert scored[str(tmp_path / "b.jsonl.gz"), 9]["probabilities"]["Sports"] == pytest.approx(0.7)
    quarantined = {
        (line["file"].rpartition("/")[2], line["row"]): line["reason"] for line in lines(output, "quarantine")
    }
    assert quarantined == {
        ("a.csv", 1502): "title and description are empty",
        ("a.csv", 1503): "1 field, expected 3",
        ("b.jsonl.gz", 2): "title is not a text but int",
    }
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["rows_scored"], summary["rows_quarantined"]) == (1502, 3)
    assert summary["finished"] == NOON.isoformat()


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_the_pipelines_own_examples_are_scored(score, tmp_path, compression):
    import tensorflow as tf

    def example(**texts):
        features = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=text if isinstance(text, list) else [text]))
            for name, text in texts.items()
        }
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    name = "data_tfrecord-00000-of-00001" + (".gz" if compression else "")
    with tf.io.TFRecordWriter(str(tmp_path / name), compression) as writer:
        for record in (
            example(id=b"x", title=b"goal", description=b"late"),
            b"\xff",
            example(title=b"\xff"),
            example(title=[b"goal", b"vote"]),
        ):
            writer.write(record)
    output = score(tmp_path / name)
    assert [(line["id"], line["row"], line["label"]) for line in lines(output, "predictions")] == [("x", 1, "Sports")]
    assert {line["row"] for line in lines(output, "quarantine")} == {2, 3, 4}


@pytest.mark.parametrize("shell_expanded", [True, False])
def test_only_the_named_files_are_scored_whatever_their_names(score, tmp_path, monkeypatch, shell_expanded):
    for name in (
        "day [1]/news [1].csv",
        "day [1]/._news [1].csv",
        "day [1]/_SUCCESS.csv",
        "day [1]/news 1.csv",
        "day 1/a.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("title,description\ngoal,\n")
    monkeypatch.chdir(tmp_path / "day [1]")
    output = score("news [1].csv" if shell_expanded else "*.csv", output=tmp_path / "out")
    expected = ["news [1].csv"] if shell_expanded else ["news 1.csv", "news [1].csv"]
    assert json.loads((output / "summary.json").read_text())["files"] == [
        str(tmp_path / "day [1]" / n) for n in expected
    ]
    assert len(lines(output, "predictions")) == len(expected)


def test_places_that_tensorflow_takes_for_patterns_are_refused(score, tmp_path):
    (tmp_path / "a.csv").write_text("title,description\ngoal,\n")
    with pytest.raises(SettingsError, match=r"^the output directory .*out \[1\]: "):
        score(tmp_path / "a.csv", output=tmp_path / "out [1]")
    with pytest.raises(SettingsError, match=r"^the model .*models\*/17: "):
        score(tmp_path / "a.csv", model=str(tmp_path / "models*/17"))


def test_workers_with_another_working_directory_get_absolute_places(score, model, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("title,description\ngoal,\n")
    monkeypatch.chdir(tmp_path)
    score("a*.csv", model=os.path.relpath(model), output="out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["files"] == [str(tmp_path / "a.csv")]
    assert summary["model"] == model
    assert [line["file"] for line in lines(tmp_path / "out", "predictions")] == summary["files"]


def test_a_file_without_good_rows_leaves_a_summary_and_a_quarantine(score, tmp_path):
    (tmp_path / "a.csv").write_text("title\n \n")
    output = score(tmp_path / "a.csv")
    assert {path.name.partition("-")[0] for path in output.iterdir()} == {"quarantine", "summary.json"}


def test_a_broken_file_leaves_no_output(score, tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"title\n" + b"goal\n" * 5_000)[:-20])
    with pytest.raises(
        DataError, match=r"a\.csv\.gz cannot be read after line \d+: .*replace it with a complete, readable file$"
    ):
        score(tmp_path / "a.csv.gz", output=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.gz"]


def test_a_signal_that_beam_drops_leaves_no_output(score, tmp_path, monkeypatch, interrupt):
    from serving import batch

    (tmp_path / "items.csv").write_text("title\noil\n")
    monkeypatch.setattr(batch, "_count", lambda *_: interrupt() or 0)
    with pytest.raises(Interrupted):
        score(tmp_path / "items.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["items.csv"]


def test_a_truncated_record_file_is_named(score, tmp_path):
    import tensorflow as tf

    path = tmp_path / "data_tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"")
        writer.write(b"")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="broken after record 1"):
        score(path)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_record_file_cut_anywhere_is_named(tmp_path, compression):
    """TensorFlow's own reader takes a file cut within a record's length, or within gzip's blocks, for a shorter one."""
    import tensorflow as tf

    from serving.batch import read_file

    path = tmp_path / ("data_tfrecord" + (".gz" if compression else ""))
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in (b"", b"", b""):
            writer.write(record)
    whole = path.read_bytes()
    for position in range(1, len(whole)):
        if compression or position % 16:  # An empty record has 16 bytes.
            path.write_bytes(whole[:position])
            with pytest.raises(DataError, match=path.name):
                list(read_file(str(path)))


def test_an_output_that_is_there_is_kept(score, tmp_path):
    (tmp_path / "a.csv").write_text("title\ngoal\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="there already"):
        score(tmp_path / "a.csv")


@pytest.mark.parametrize("pattern", ["gone.csv", "gone-*.csv"])
def test_files_that_are_not_there_are_named(score, tmp_path, pattern):
    with pytest.raises(DataError, match="gone"):
        score(tmp_path / pattern)


def test_a_directory_without_a_model_is_named(score, tmp_path):
    (tmp_path / "a.csv").write_text("title\ngoal\n")
    with pytest.raises(DataError, match="no SavedModel"):
        score(tmp_path / "a.csv", model=str(tmp_path))


def test_a_model_of_another_kind_is_refused(score, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path / "doubler"), signatures={"serving_default": module.double})
    (tmp_path / "a.csv").write_text("title\ngoal\n")
    with pytest.raises(DataError, match="lacks classes, description, probabilities, title"):
        score(tmp_path / "a.csv", model=str(tmp_path / "doubler"))


def test_files_may_have_the_text_columns_of_the_model(score, column_model, tmp_path):
    (tmp_path / "a.csv").write_text("text_000,text_002\noil,rises\n")
    output = score(tmp_path / "a.csv", model=str(column_model))
    assert [line["row"] for line in lines(output, "predictions")] == [2]


def test_two_workers_score_two_files(score, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("title\n" + "goal\n" * 200)
    two = (*direct_runner.options(), "--direct_running_mode=multi_threading", "--direct_num_workers=2")
    output = score(tmp_path / "?.csv", args=two)
    assert len(lines(output, "predictions")) == json.loads((output / "summary.json").read_text())["rows_scored"] == 400
