import csv
import math
import subprocess
import sys

import psutil
import pytest

from benchmarks.growing_rows import write_repeated
from benchmarks.scale import watch
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


CHILD = f"import subprocess; subprocess.run(['{sys.executable}', '-c', 'input()'], stdin=subprocess.PIPE)"


@pytest.mark.parametrize(
    ("limits", "reason"), [((1, math.inf), "memory, in Transform"), ((math.inf, 0.0), "time, in Transform")]
)
def test_a_run_that_takes_too_much_is_stopped_with_its_children(limits, reason):
    process = psutil.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE)
    while not (children := process.children()):
        assert process.is_running()
    peaks, stopped = watch(process, lambda: "Transform", *limits)
    assert stopped == reason
    assert not process.is_running()
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert peaks["Transform"] > 0


def test_memory_is_reported_for_each_stage():
    process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stages = iter(["AgNewsExampleGen", "Transform"])

    def stage():
        name = next(stages, None)
        if name is None:
            process.communicate(b"\n")
        return name or "Transform"

    peaks, stopped = watch(process, stage, math.inf, math.inf)
    assert stopped is None
    assert list(peaks) == ["AgNewsExampleGen", "Transform"]
    assert min(peaks.values()) > 0
