import csv
import gzip
import io
import json
import os
import subprocess
import sys
import threading

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import DataError
from serving.client import ModelNotFoundError, UnavailableError


@pytest.fixture
def classify(server):
    """Runs `agnews classify` against the scripted server."""

    def run(*arguments, stdin=None):
        return CliRunner().invoke(cli, ["classify", "--server", server.address, *map(str, arguments)], input=stdin)

    return run


@pytest.fixture
def items(tmp_path):
    """Writes a file with good rows at lines 2 and 4, and bad ones at 3 and 5."""
    path = tmp_path / "items.csv"
    path.write_text('ID,Title,Description\na,oil rises,today\nb,,\nc,"goal, late",\nd,one too few\n')
    return path


def test_texts_become_a_table_a_row_each(classify):
    ended = classify("oil rises", "late goal")
    assert ended.exit_code == 0
    head, first, second = ended.output.splitlines()
    assert head.split() == ["row", "class", "probability", "version", "text"]
    assert first.split() == ["1", "Business", "71.1%", "2", "oil", "rises"]
    assert second.split() == ["2", "Sports", "71.1%", "2", "late", "goal"]


def test_a_files_rows_become_json_lines_in_order_the_bad_ones_with_reasons(classify, items):
    ended = classify("--file", items, "--format", "jsonl")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["row"] for line in lines] == [2, 3, 4, 5]
    assert lines[0] | {"probabilities": None} == {
        "row": 2,
        "id": "a",
        "title": "oil rises",
        "label": "Business",
        "probability": pytest.approx(0.711, abs=1e-3),
        "probabilities": None,
        "model_version": 2,
    }
    assert lines[0]["probabilities"]["Business"] == lines[0]["probability"]
    assert lines[1] == {"row": 3, "error": "title and description are empty"}
    assert lines[3] == {"row": 5, "error": "2 fields, expected 3"}


OFFICIAL = '"3","oil rises","today"\n"2","late goal",""\n'
TABLE = "class\ttitle\tdescription\n3\toil rises\ttoday\n2\tlate goal\t\n"
OBJECTS = '{"label": 2, "Title": "oil rises", "Description": "today"}\n{"label": 1, "Title": "late goal"}\n'


def write(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def labels(ended):
    assert ended.exit_code == 0, ended.output
    return [json.loads(line)["label"] for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("train.csv", OFFICIAL), ("train.csv", TABLE.replace("\t", ";")), ("a.tsv", TABLE)]
    + [(name, OBJECTS) for name in ("a.jsonl", "a.ndjson")],
)
def test_text_files_of_the_training_data_are_read(classify, tmp_path, name, text, zipped):
    write(tmp_path / (name + zipped), text)
    assert labels(classify("--file", tmp_path / (name + zipped), "--format", "jsonl")) == ["Business", "Sports"]


def test_parquet_files_of_the_training_data_are_read(classify, tmp_path):
    pq.write_table(pa.table({"label": [2, 1], "text": ["oil rises", "late goal"]}), tmp_path / "a.parquet")
    assert labels(classify("--file", tmp_path / "a.parquet", "--format", "jsonl")) == ["Business", "Sports"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_the_columns_of_ones_own_data_are_read(classify, server, tmp_path, monkeypatch, name):
    server.columns = ["subject", "body"]
    monkeypatch.setenv("AGNEWS_DATA__LABEL_COLUMN", "kind")
    monkeypatch.setenv("AGNEWS_DATA__TEXT_COLUMNS", '["subject", "body"]')
    rows = {"kind": [2, 1], "subject": ["oil rises", "late goal"], "body": ["today", ""]}
    if name == "a.parquet":
        pq.write_table(pa.table(rows), tmp_path / name)
    elif name == "a.csv":
        write(tmp_path / name, "kind,subject,body\n2,oil rises,today\n1,late goal,\n")
    else:
        objects = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        write(tmp_path / name, "\n".join(map(json.dumps, objects)))
    assert labels(classify("--file", tmp_path / name, "--format", "jsonl")) == ["Business", "Sports"]


def test_bad_rows_end_in_a_status_and_their_number_and_place(classify, items):
    ended = classify("--file", items)
    assert isinstance(ended.exception, DataError)
    assert str(ended.exception).startswith("2 of 4 rows could not be classified; the first: ")
    assert f"{items}:3: title and description are empty" in str(ended.exception)
    assert [line.split()[1] for line in ended.stdout.splitlines()[1:]] == ["Business", "bad", "Sports", "bad"]


def test_csv_has_the_same_columns_for_good_and_bad_rows(classify, items):
    rows = list(csv.DictReader(io.StringIO(classify("--file", items, "--format", "csv").stdout)))
    assert [(row["row"], row["id"], row["label"]) for row in rows] == [
        ("2", "a", "Business"),
        ("3", "", ""),
        ("4", "c", "Sports"),
        ("5", "", ""),
    ]
    assert rows[2]["title"] == "goal, late"
    assert float(rows[0]["Business"]) == float(rows[0]["probability"])
    assert [bool(row["error"]) for row in rows] == [False, True, False, True]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_dash_reads_a_text_a_line(classify, end):
    ended = classify("-", "--format", "jsonl", stdin=f"oil rises{end}late goal{end}")
    assert [json.loads(line)["label"] for line in ended.output.splitlines()] == ["Business", "Sports"]


def test_bytes_that_are_no_text_are_a_bad_row(classify):
    ended = classify("-", "--format", "jsonl", stdin=b"caf\xe9\noil\n")
    assert [set(json.loads(line)) >= {"error"} for line in ended.stdout.splitlines()] == [True, False]
    assert "standard input:1: title, character 4" in str(ended.exception)


@pytest.mark.parametrize("data", ["title\noil\n", '{"title": "oil"}\n'])
def test_file_dash_reads_rows_from_standard_input(classify, data):
    assert json.loads(classify("--file", "-", "--format", "jsonl", stdin=data).output)["label"] == "Business"


def test_a_gzipped_file_is_read(classify, tmp_path):
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress(b"title\noil\n"))
    assert classify("--file", tmp_path / "items.csv.gz").exit_code == 0


def test_a_long_file_comes_out_whole_with_one_heading(classify, tmp_path, server):
    (tmp_path / "long.csv").write_text("title\n" + "".join(f"oil {number}\n" for number in range(1000)))
    lines = classify("--file", tmp_path / "long.csv").output.splitlines()
    assert [int(line.split()[0]) for line in lines[1:]] == list(range(2, 1002))
    assert max(len(request.inputs["title"].string_val) for request in server.requests) <= 32


def test_rows_before_a_files_broken_end_are_classified(classify, tmp_path):
    whole = gzip.compress(b"title\n" + b"".join(b"oil %d\n" % (7919 * number) for number in range(5_000)))
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-100])
    ended = classify("--file", tmp_path / "cut.csv.gz", "--format", "jsonl")
    assert isinstance(ended.exception, DataError)
    assert f"after line {json.loads(ended.stdout.splitlines()[-1])['row']}:" in str(ended.exception)


def test_a_server_that_fails_midway_leaves_what_is_done_and_says_how_far(classify, tmp_path, server, scripted_server):
    (tmp_path / "long.csv").write_text("title\n" + "oil\n" * 300)
    server.script = [None] * 8 + [scripted_server.fails(grpc.StatusCode.UNAVAILABLE)] * 50
    ended = classify("--file", tmp_path / "long.csv", "--format", "jsonl")
    assert isinstance(ended.exception, UnavailableError)
    assert len(ended.stdout.splitlines()) == 256
    assert f"Done: 256 rows before {tmp_path}/long.csv:258" in str(ended.exception)


def test_version_and_label_are_asked_for(classify):
    assert classify("oil", "--version", 1).output.split()[-2] == "1"
    assert classify("oil", "--label", "stable").output.split()[-2] == "1"
    assert isinstance(classify("oil", "--version", 5).exception, ModelNotFoundError)


def test_the_name_of_the_model_comes_from_the_settings(classify, server, monkeypatch):
    monkeypatch.setenv("AGNEWS_PUSHER__MODEL_NAME", "news")
    classify("oil")
    classify("oil", "--model-name", "other")
    assert [request.model_spec.name for request in server.requests] == ["news", "other"]


def test_a_share_of_a_files_requests_goes_to_the_canary(classify, tmp_path, server):
    (tmp_path / "long.csv").write_text("title\n" + "oil\n" * 3_000)
    assert classify("--file", tmp_path / "long.csv", "--canary-share", "0.5").exit_code == 0
    labels = [request.model_spec.version_label for request in server.requests]
    assert set(labels) == {"stable", "canary"}
    assert len(labels) >= 90


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either texts or a --file"),
        (["oil", "--file", "a.csv"], "name either texts or a --file"),
        (["oil", "--version", "1", "--label", "stable"], "exclude each other"),
        (["oil", "--version", "1", "--canary-share", "0.1"], "exclude each other"),
        (["oil", "--canary-share", "1.5"], "--canary-share"),
        (["oil", "--timeout", "0"], "--timeout"),
        (["oil", "--server", "localhost"], "expected HOST:PORT"),
    ],
)
def test_a_wrong_command_line_is_said(arguments, message):
    ended = CliRunner().invoke(cli, ["classify", *arguments])
    assert ended.exit_code == 2
    assert message in ended.output


@pytest.mark.parametrize("name", ["gone.csv", "."])
def test_a_file_that_cannot_be_read_is_named(classify, name):
    assert f"{name}: " in str(classify("--file", name).exception)


def test_a_text_cannot_steer_the_terminal(classify):
    assert "\x1b" not in classify("oil \x1b[2J\x07").output


def agnews(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "pipeline", "classify", *arguments], text=True, **options)


def test_no_server_is_one_message_and_a_status_without_a_trace(scripted_server):
    with scripted_server.serving() as server:
        pass
    process = agnews("oil", "--server", server.address, stderr=subprocess.PIPE)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 6
    assert message.startswith(f"Error: nothing listens at {server.address}")
    assert "Traceback" not in message


def test_a_file_shows_progress_on_a_terminal_if_output_is_redirected(server, tmp_path):
    (tmp_path / "long.csv").write_text("title\n" + "oil\n" * 1_000)
    terminal, end = os.openpty()
    command = ("--file", "long.csv", "--format", "jsonl", "--server", server.address)
    process = agnews(*command, stdout=subprocess.PIPE, stderr=end, cwd=tmp_path)
    os.close(end)
    shown = []

    def read_terminal():
        try:
            while data := os.read(terminal, 4096):
                shown.append(data)
        except OSError:  # Linux raises it at the end of a terminal's output.
            pass

    reader = threading.Thread(target=read_terminal)
    reader.start()
    lines = process.communicate(timeout=60)[0].splitlines()
    reader.join(timeout=20)
    os.close(terminal)
    assert len(lines) == 1_000, b"".join(shown)
    assert b"classifying" in b"".join(shown)
    assert b"100%" in b"".join(shown)


def test_a_reader_that_goes_away_is_no_error(server, tmp_path):
    (tmp_path / "long.csv").write_text("title\n" + "oil rises again and again\n" * 5_000)
    command = ("--file", "long.csv", "--format", "jsonl", "--server", server.address)
    process = agnews(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()


def test_rows_have_the_first_text_column_of_the_model(classify, tmp_path, server):
    server.columns = ["inhalt"]
    (tmp_path / "rows.csv").write_text("Inhalt\noil\n")
    ended = classify("--file", tmp_path / "rows.csv", "--format", "csv")
    assert ended.stdout.splitlines()[0].startswith("row,id,inhalt,label")
    assert ended.stdout.splitlines()[1].startswith("2,,oil,Business")
    assert list(server.requests[0].inputs["inhalt"].string_val) == [b"oil"]
