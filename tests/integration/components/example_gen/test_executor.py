import dataclasses
import gzip
import json
import os
import tracemalloc

import pandas as pd
import pytest
import tensorflow as tf
from google.protobuf import struct_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from components.example_gen import csv_reader, ingestion_report
from components.example_gen.executor import ExampleGenExecutor
from components.example_gen.row_format import RowFormat
from schema.data_set import AG_NEWS, DataSet
from schema.errors import DataError, NothingToTrain
from schema.features import load_schema
from tests.support import direct_runner

GOOD = [(index % 4 + 1, f"title {index}", f"text {index}") for index in range(60)]
TEST = [(1, "test", "rows"), (2, "more", "rows")]
PATTERNS = {"train": "train.csv", "test": "test.csv"}


def line(label, title, text):
    return f'"{label}","{title}","{text}"\n'


def ingest(base, *, max_bad_fraction=0.0, val_fraction=0.3, dated=False, output=None, patterns=PATTERNS, **more):
    options = struct_pb2.Struct()
    options.update(
        {
            "val_fraction": val_fraction,
            "max_bad_fraction": max_bad_fraction,
            "max_chars": 200,
            "source": "here",
            "synthetic": False,
            "dated": dated,
        }
        | more
    )
    custom_config = example_gen_pb2.CustomConfig()
    custom_config.custom_config.Pack(options)
    splits = [{"name": name, "pattern": pattern} for name, pattern in patterns.items()]
    examples = standard_artifacts.Examples()
    examples.uri = str((output or base) / "AgNewsExampleGen/examples/7")
    examples.set_int_custom_property("span", 8)
    ExampleGenExecutor(ExampleGenExecutor.Context(beam_pipeline_args=direct_runner.options())).Do(
        {},
        {"examples": [examples]},
        {
            "input_base": str(base),
            "input_config": proto_utils.proto_to_json(example_gen_pb2.Input(splits=splits)),
            "output_config": proto_utils.proto_to_json(example_gen_pb2.Output()),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
            "custom_config": proto_utils.proto_to_json(custom_config),
        },
    )
    return examples


def written(examples, split):
    files = tf.io.gfile.glob(os.path.join(artifact_utils.get_split_uri([examples], split), "*"))
    records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    return [tf.train.Example.FromString(record).features.feature for record in records]


def quarantined(examples):
    with open(examples.get_string_custom_property("quarantine_uri")) as file:
        return [json.loads(text) for text in file]


def put_data(directory):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "train.csv").write_text("".join(line(*row) for row in GOOD))
    (directory / "test.csv").write_text("".join(line(*row) for row in TEST))
    return directory


@pytest.fixture
def data(tmp_path):
    return put_data(tmp_path)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """The output for the data that is there before a test changes it."""
    return ingest(put_data(tmp_path_factory.mktemp("unchanged")))


def titles(features):
    return {feature["title"].bytes_list.value[0].decode() for feature in features}


def test_train_is_split_and_test_stays_test(ingested):
    train, val, test = (written(ingested, split) for split in ("train", "val", "test"))
    assert titles(train) | titles(val) == {title for _, title, _ in GOOD}
    assert not titles(train) & titles(val)
    assert len(train) > len(val) > 5
    assert titles(test) == {"test", "more"}
    assert artifact_utils.decode_split_names(ingested.split_names) == ["train", "val", "test"]
    assert ingested.span == 8  # Which StatisticsGen hands on.


def test_a_row_keeps_its_split_when_rows_are_added(data, ingested):
    before = titles(written(ingested, "val"))
    with open(data / "train.csv", "a") as file:
        file.write("".join(line(1, f"new {index}", "text") for index in range(50)))
    after = titles(written(ingest(data), "val"))
    assert before == {title for title in after if not title.startswith("new")}


@pytest.mark.usefixtures("ingested")  # Imports must not count as memory.
def test_not_all_rows_are_in_memory_at_once(data):
    with (data / "train.csv").open("w") as file:
        file.writelines(line(1, f"title {number}", "word " * 10_000) for number in range(800))
    tracemalloc.start()
    try:
        examples = ingest(data, max_chars=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(written(examples, "train")) + len(written(examples, "val")) == 800
    assert peak < (data / "train.csv").stat().st_size / 2


def test_examples_have_exactly_the_features_of_the_schema(ingested):
    [feature, *_] = written(ingested, "train")
    assert set(feature) == {entry.name for entry in load_schema().feature}
    assert (
        feature["text_length"].int64_list.value[0] == len("title 0text 0")
        or feature["text_length"].int64_list.value[0] == 15
    )


def test_bad_rows_go_to_quarantine_with_file_row_and_reason(data):
    with open(data / "train.csv", "ab") as file:
        file.write(
            b'"9","class","unknown"\n"1","bad \xff","bytes"\n"1","short"\n"1"," ",""\n"1","long","'
            + b"x" * 300
            + b'"\n'
        )
    examples = ingest(data, max_bad_fraction=0.5)
    assert [(row["number"], row["reason"]) for row in sorted(quarantined(examples), key=lambda row: row["number"])] == [
        (61, "unknown_class"),
        (62, "bad_utf8"),
        (63, "wrong_field_count"),
        (64, "empty_text"),
        (65, "too_long"),
    ]
    assert {row["file"] for row in quarantined(examples)} == {str(data / "train.csv")}
    assert examples.get_int_custom_property("rows_quarantined") == 5
    assert examples.get_int_custom_property("quarantined_bad_utf8") == 1
    assert os.path.dirname(examples.get_string_custom_property("quarantine_uri")) == str(
        data / "AgNewsExampleGen/quarantine/7"
    )


def test_too_many_bad_rows_stop_the_run_with_a_summary(data):
    with open(data / "train.csv", "a") as file:
        file.write('"9","class","unknown"\n')
    with pytest.raises(
        DataError, match=r"1 of 63 rows are bad \(1\.59%\), the limit is 1\.00%: unknown_class 1"
    ) as stopped:
        ingest(data, max_bad_fraction=0.01)
    assert "train.csv, row 61: unknown_class: class '9', known are World, Sports, Business, Sci/Tech" in str(
        stopped.value
    )
    assert "quarantine.jsonl" in str(stopped.value)


@pytest.mark.parametrize("ids_of_an_element", [1, 1024])
def test_duplicates_and_rows_in_both_train_and_test_are_counted(data, monkeypatch, ids_of_an_element):
    monkeypatch.setattr(ingestion_report, "_PACKED_BYTES", 8 * ids_of_an_element)
    with open(data / "train.csv", "a") as file:
        file.write(line(*GOOD[0]) * 2 + line(*GOOD[1]) + line(*TEST[0]))
    examples = ingest(data)
    assert examples.get_int_custom_property("duplicates") == 3
    assert examples.get_int_custom_property("train_test_overlap") == 1


def test_the_error_of_a_broken_file_does_not_name_beam(data):
    (data / "test.csv").write_text("label,title\n1,Vote\n")
    with pytest.raises(DataError, match=r"data\.text_columns name other ones$"):
        ingest(data)


@pytest.mark.parametrize("where", ["train.csv", "test.csv"])
def test_rows_that_a_reader_skips_stop_the_run(data, monkeypatch, where):
    read_records = csv_reader.read_records
    monkeypatch.setattr(csv_reader, "read_records", lambda *arguments: list(read_records(*arguments))[1:])
    (data / ("test.csv" if where == "train.csv" else "train.csv")).write_text("")
    with pytest.raises(
        DataError, match=rf"/{where} has \d+ lines that are not empty, but .* covered \d+.*message persists$"
    ):
        ingest(data, max_bad_fraction=1.0)


def test_rows_with_any_line_end_are_all_read(data):
    rows = "".join(line(*row)[:-1] + end for row, end in zip(GOOD, ["\r", "\n", "\r\n"] * 20, strict=True))
    (data / "train.csv").write_bytes(rows.encode())
    assert ingest(data).get_int_custom_property("rows_read") == len(GOOD) + len(TEST)


def test_a_damaged_gzip_file_is_reported_by_name(data):
    whole = bytearray(gzip.compress("".join(line(*row) for row in GOOD).encode()))
    whole[len(whole) // 2 :: 2] = bytes(len(whole[len(whole) // 2 :: 2]))
    (data / "train.csv").unlink()
    (data / "train.csv.gz").write_bytes(whole)
    with pytest.raises(
        DataError,
        match=r"/train\.csv\.gz cannot be read after line \d+: .*; replace it with a complete, readable file$",
    ):
        ingest(data, patterns=PATTERNS | {"train": "train.csv.gz"})


def test_a_file_of_only_bad_rows_is_suspected_of_another_format(data):
    (data / "test.csv").write_text("headline,body,topic\nVote,Today,1\n")
    with pytest.raises(DataError, match=r"another format: .*class, title and description") as stopped:
        ingest(data)
    assert "max_bad_fraction" not in str(stopped.value)


def test_a_bad_row_counts_once_per_line(data):
    with open(data / "train.csv", "a") as file:
        file.write('1,"forgotten\n' + "1,two,rows\n" * 8 + '1,three,6"\n')
    with pytest.raises(DataError, match=r"1 of 63 rows are bad, of 10 lines \(13\.89%\)"):
        ingest(data, max_bad_fraction=0.1)
    assert ingest(data, max_bad_fraction=0.2).get_int_custom_property("rows_quarantined") == 1


def test_data_without_rows_is_an_error(data):
    (data / "test.csv").write_text("")
    with pytest.raises(DataError, match="the split test has no rows"):
        ingest(data)


_LINE = st.one_of(
    st.just(b'"1","good","row"'),
    st.binary(max_size=40).filter(lambda data: b"\n" not in data),
    st.sampled_from([b'"1","open', b'"2","two', b'fields"', b'"9","x","y"', b'"1","\xff","z"', b'"1","",""']),
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_LINE, max_size=24))
def test_rows_read_are_rows_written_plus_rows_quarantined(tmp_path_factory, lines):
    base = tmp_path_factory.mktemp("data")
    (base / "train.csv").write_bytes("".join(line(*row) for row in GOOD).encode() + b"\n".join(lines))
    (base / "test.csv").write_text(line(*TEST[0]))
    examples = ingest(base, max_bad_fraction=1.0)
    in_files = sum(len(written(examples, split)) for split in ("train", "val", "test"))
    assert examples.get_int_custom_property("rows_written") == in_files
    assert examples.get_int_custom_property("rows_quarantined") == len(quarantined(examples))
    assert examples.get_int_custom_property("rows_read") == in_files + len(quarantined(examples))


@pytest.mark.parametrize("content", ["", '"class","title","description"\n'], ids=["no line", "a header alone"])
def test_a_span_without_training_rows_is_nothing_to_train(data, content):
    (data / "train.csv").write_text(content)
    with pytest.raises(NothingToTrain, match=r"the span is empty: .*train\.csv contain no rows"):
        ingest(data, dated=True)
    with pytest.raises(DataError, match="the split train has no rows"):
        ingest(data)


def test_a_span_of_only_bad_rows_is_not_empty(data):
    (data / "train.csv").write_text('"9","unknown","class"\n')
    with pytest.raises(DataError, match="rows are bad"):
        ingest(data, dated=True)


@pytest.mark.parametrize(
    ("named", "neighbour"), [("ag [1]", "ag 1"), ("ag *", "ag 2"), ("ag?", "ag3"), ("ag[!x]", "agy")]
)
def test_only_the_named_directory_is_read(tmp_path, named, neighbour):
    put_data(tmp_path / named)
    put_data(tmp_path / neighbour)
    (tmp_path / neighbour / "train.csv").write_text(line(1, "another", "directory"))
    examples = ingest(tmp_path / named, output=tmp_path / "output")
    assert examples.get_int_custom_property("rows_read") == len(GOOD) + len(TEST)
    train, val = (titles(written(examples, split)) for split in ("train", "val"))
    assert train | val == {title for _, title, _ in GOOD}


def test_hidden_files_next_to_the_data_are_not_read(data):
    for name in ("._train.csv", ".part.csv", "_SUCCESS.csv"):
        (data / name).write_bytes(b"\x00\x05\x16\x07")
    examples = ingest(data, patterns={"train": "*rain.csv", "test": "*est.csv"})
    assert examples.get_int_custom_property("rows_read") == len(GOOD) + len(TEST)
    (data / "test.csv").rename(data / ".test.csv")
    with pytest.raises(DataError, match=r"\*est\.csv matches no file"):
        ingest(data, patterns={"train": "*rain.csv", "test": "*est.csv"})


def test_without_test_files_a_share_of_the_rows_is_held_out(data):
    patterns = {"train": "train.csv"}
    examples = ingest(data, patterns=patterns, val_fraction=0.2, test_fraction=0.3)
    splits = [titles(written(examples, split)) for split in ("train", "val", "test")]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 60
    assert min(map(len, splits)) > 4
    assert titles(written(ingest(data, patterns=patterns, val_fraction=0.2, test_fraction=0.3), "test")) == splits[2]


def test_a_sample_has_the_asked_number_of_rows_and_counts_the_others(data):
    examples = ingest(data, max_rows=20)
    counts = {name: examples.get_int_custom_property(name) for name in ("rows_read", "rows_left_out", "rows_test")}
    assert counts == {"rows_read": 22, "rows_left_out": 40, "rows_test": 2}
    again = ingest(data, max_rows=20)
    assert titles(written(again, "train")) == titles(written(examples, "train"))


def test_classes_columns_and_buckets_are_those_of_the_data_set(data):
    data_set = DataSet(("Rechnung", "Störung"), ("kurz", "lang"), (12,))
    for name in ("train", "test"):
        rows = [f"{('Störung', 'Rechnung')[row % 2]}\tText {row}{' ist lang' * (row % 2)}\n" for row in range(40)]
        (data / f"{name}.tsv").write_text("Kategorie\tInhalt\n" + "".join(rows))
    row_format = RowFormat("Kategorie", ("Inhalt",), class_names=data_set.class_names)
    parameters = {"data_set": data_set.encode(), "row_format": row_format.encode()}
    examples = ingest(data, patterns={"train": "train.tsv", "test": "test.tsv"}, **parameters)
    found = {
        (row["label"].int64_list.value[0], row["length_bucket"].bytes_list.value[0])
        for row in written(examples, "test")
    }
    assert found == {(1, b"kurz"), (0, b"lang")}


def write_tables(directory, rows, form):
    """Writes the rows as training and test file of a form, and returns the patterns of the files."""
    table = pd.DataFrame(rows)
    for name in ("train", "test"):
        if form == "csv":
            table.to_csv(directory / f"{name}.csv", index=False)
        elif form == "jsonl":
            table.to_json(directory / f"{name}.jsonl", orient="records", lines=True)
        else:
            table.to_parquet(directory / f"{name}.parquet")
    return {name: f"{name}.{form}" for name in ("train", "test")}


DESKS = dataclasses.replace(AG_NEWS, kept_columns=("desk",)).encode()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_values_of_kept_columns_are_features(tmp_path, form):
    rows = [{"label": index % 4, "text": f"text {index}", "Desk": ("Büro", None)[index % 2]} for index in range(40)]
    examples = ingest(tmp_path, patterns=write_tables(tmp_path, rows, form), data_set=DESKS)
    found = {features["desk"].bytes_list.value[0].decode() for features in written(examples, "test")}
    assert found == {"Büro", "(none)"}


def test_a_file_without_a_kept_column_is_refused(data):
    with pytest.raises(DataError, match=r"desk is missing"):
        ingest(data, data_set=DESKS)


def test_a_kept_value_that_is_not_unicode_goes_to_quarantine(tmp_path):
    rows = b"".join(b"%d,text %d,a\n" % (index % 4, index) for index in range(60))
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_bytes(b"label,text,desk\n" + rows + b"0,other,b\xff\n")
    examples = ingest(tmp_path, max_bad_fraction=0.5, data_set=DESKS)
    assert {row["reason"] for row in quarantined(examples)} == {"bad_utf8"}


NUMBERS = dataclasses.replace(AG_NEWS, id_column="Nr").encode()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_ids_of_the_files_are_kept_in_rows_and_in_quarantine(tmp_path, form):
    rows = [{"NR": index, "label": index % 4, "text": f"text {index}"} for index in range(40)]
    patterns = write_tables(tmp_path, [*rows, {"NR": 40, "label": 9, "text": "other"}], form)
    examples = ingest(tmp_path, patterns=patterns, data_set=NUMBERS, max_bad_fraction=0.5)
    found = {features["source_id"].bytes_list.value[0].decode() for features in written(examples, "test")}
    assert found == set(map(str, range(40)))
    assert {(row["reason"], row["source_id"]) for row in quarantined(examples)} == {("unknown_class", "40")}


def test_a_file_without_the_column_of_ids_is_refused(data):
    with pytest.raises(DataError, match=r"nr is missing"):
        ingest(data, data_set=NUMBERS)
