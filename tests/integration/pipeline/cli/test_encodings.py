"""Tests output to a stream that is not UTF-8, that nobody reads, that is closed, or that is full."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
import yaml

from pipeline.cli import main
from tests.support import ROOT

TITLE = "café 東京 \N{GRINNING FACE}"
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def agnews(monkeypatch):
    """Runs a command with standard output in an encoding; returns exit status and output."""

    def run(encoding, *arguments):
        output = io.TextIOWrapper(io.BytesIO(), encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["agnews", *map(str, arguments)])
            patch.setattr(sys, "stdout", output)
            with pytest.raises(SystemExit) as ended:
                main()
        output.flush()
        # Click assumes that ASCII is a mistake in the environment, and writes UTF-8, which contains ASCII.
        return ended.value.code or 0, output.buffer.getvalue().decode(encoding if encoding != "ascii" else "utf-8")

    return run


@pytest.fixture
def sample(tmp_path):
    from components.example_gen.synthetic import write_synthetic

    write_synthetic(tmp_path / "données", train_rows=40, test_rows=8, seed=1)
    return tmp_path / "données"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "describe", "--data", "données"),
        ("config", "show", "--set", "data.path=東京"),
        ("config", "keys"),
        ("models", "describe", "--help"),
        ("artifacts", "check", "--set", "pipeline.root=東京"),
        ("data", "sample", "--to", "東京", "--rows", "8"),
        ("approvals", "list", "--set", "pipeline.root=東京"),
    ],
    ids=" ".join,
)
def test_every_command_can_print_what_the_encoding_lacks(agnews, sample, encoding, arguments):
    status, output = agnews(encoding, *arguments)
    assert status == 0
    assert output


def test_bars_are_drawn_in_signs_that_the_encoding_has(agnews, sample):
    _, output = agnews("ascii", "data", "describe", "--data", sample)
    assert "\\u25" not in output
    assert "####" in output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_read_back_as_it_was_meant(agnews, server, encoding):
    _, output = agnews(encoding, "classify", "--server", server.address, "--format", "jsonl", TITLE)
    assert json.loads(output)["title"] == TITLE
    status, output = agnews(encoding, "config", "show", "--format", "json", "--set", "data.path=é東\U0001f600")
    assert status == 0
    assert json.loads(output)["data"]["path"].endswith("é東\U0001f600")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_yaml_is_read_back_as_it_was_meant(agnews, encoding):
    _, output = agnews(encoding, "config", "show", "--format", "yaml", "--set", "data.path=é東")
    assert yaml.safe_load(output)["data"]["path"].endswith("é東")


@pytest.mark.parametrize(("encoding", "title"), [("latin-1", "café"), ("utf-8", "café 東京"), ("ascii", "coffee")])
def test_csv_that_the_encoding_holds_is_written(agnews, server, encoding, title):
    status, output = agnews(encoding, "classify", "--server", server.address, "--format", "csv", title)
    assert status == 0
    assert next(csv.DictReader(io.StringIO(output)))["title"] == title


@pytest.mark.parametrize(("encoding", "title"), [("ascii", "café"), ("latin-1", "東京")])
def test_csv_which_has_no_escapes_is_refused_rather_than_changed(agnews, server, capsys, encoding, title):
    status, output = agnews(encoding, "classify", "--server", server.address, "--format", "csv", "oil", title)
    assert status == 2
    assert title not in output
    assert "\\" not in output
    assert f"standard output is written as {encoding}" in capsys.readouterr().err
    assert "Traceback" not in output


def command(*arguments, **options):
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "AG_NEWS_DIR": "données", **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments], env=environment, stderr=subprocess.PIPE, text=True, **options
    )


def ended(process):
    _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    return process.returncode, errors


def test_in_the_posix_locale_a_table_with_bars_is_printed(sample):
    (sample.parent / "data").symlink_to(sample)
    status, errors = ended(command("data", "describe", "--data", "data", cwd=sample.parent, env=POSIX))
    assert (status, errors) == (0, "")


def test_in_the_posix_locale_a_directory_that_it_cannot_name_is_refused(sample):
    status, errors = ended(command("data", "describe", "--data", "données", cwd=sample.parent, env=POSIX))
    assert status == 3
    assert "cannot be read as UTF-8" in errors
    assert "set PYTHONUTF8=1" in errors


PRINTING = [
    ("config", "keys"),
    ("--help",),
    ("artifacts", "check"),
    ("artifacts", "check", "--json"),
    ("data", "describe"),
]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_reader_that_leaves_early_is_no_fault(arguments, sample, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = command(*arguments, stdout=writing, cwd=tmp_path)
    os.close(writing)
    status, errors = ended(process)
    assert (status, errors) == (1, "")


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_closed_output_is_no_fault(arguments, sample, tmp_path):
    status, errors = ended(command(*arguments, preexec_fn=lambda: os.close(1), cwd=tmp_path))
    assert (status, errors) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_disk_is_one_message(arguments, sample, tmp_path):
    with open("/dev/full", "w") as full:
        status, errors = ended(command(*arguments, stdout=full, cwd=tmp_path))
    assert status == 5
    assert "No space left on device" in errors
