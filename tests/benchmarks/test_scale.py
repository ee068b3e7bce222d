import csv
import subprocess
import sys
import time

import psutil

from benchmarks.scale import _watch, write_repeated
from components.example_gen.sources import DataSource


def written(tmp_path, size):
    place = tmp_path / "few"
    place.mkdir()
    for name in ("train.csv", "test.csv"):
        with open(place / name, "w", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
                (1 + number % 4, f"title {number}", f"one two three four five six {number}") for number in range(10)
            )
    write_repeated(DataSource(str(place), "train.csv", "test.csv", "path"), size, tmp_path / "many")
    return [
        row for file in sorted((tmp_path / "many").glob("train-*.csv")) for row in csv.reader(file.open(newline=""))
    ]


def test_a_repeated_row_has_the_same_words_in_another_order(tmp_path):
    rows = written(tmp_path, 25)
    assert len(rows) == 25
    assert rows[:2] == [
        ["1", "title 0", "one two three four five six 0"],
        ["2", "title 1", "one two three four five six 1"],
    ]
    for first, again in zip(rows[:10], rows[10:20], strict=True):
        assert first[:2] == again[:2]
        assert sorted(first[2].split()) == sorted(again[2].split())
    assert [row[2] for row in rows[:10]] != [row[2] for row in rows[10:20]]


def test_a_run_that_takes_too_much_is_stopped_with_its_children_and_says_which():
    code = f"import subprocess; subprocess.run(['{sys.executable}', '-c', 'input()'], stdin=subprocess.PIPE)"
    for limits, reason in (((1, time.monotonic() + 60), "memory"), ((2**50, time.monotonic()), "time")):
        process = psutil.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        peak, stopped = _watch(process, *limits)
        assert (stopped, process.is_running()) == (reason, False)
        assert peak > 0
