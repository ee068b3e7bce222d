import json
import os

import pytest
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.utils import proto_utils

from components.example_gen.component import AgNewsExampleGen
from schema.errors import DataError

# Directory names that could be read as patterns, each with a neighbour that the pattern would match.
DIRECTORIES = [
    ("days [1]", "days 1"),
    ("days*", "days old"),
    ("days?", "days2"),
    ("days[!a]", "daysb"),
    ("days\\", "days"),
    ("{SPAN}", "1"),
    ("{YYYY}-{MM}-{DD}", "2026-03-01"),
    ("(days)+", "days"),
    ("東京 #%41 'é'\n", "days"),
]


def put(directory, *names):
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)


def resolve(base, pattern="{SPAN}/v{VERSION}/%s.csv", span=None):
    """Resolves properties with the driver, like TFX's launcher before it runs the executor."""
    splits = [{"name": name, "pattern": pattern % name} for name in ("train", "test")]
    properties = {
        "input_base": str(base),
        "input_config": proto_utils.proto_to_json(example_gen_pb2.Input(splits=splits)),
    }
    if span is not None:
        fixed = range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
        properties["range_config"] = proto_utils.proto_to_json(range_config_pb2.RangeConfig(static_range=fixed))
    driver = AgNewsExampleGen.DRIVER_CLASS(None)
    resolved = driver.resolve_exec_properties(properties, None, None)
    patterns = [split["pattern"] for split in json.loads(resolved["input_config"])["splits"]]
    return resolved["span"], resolved["version"], patterns, resolved["input_fingerprint"]


@pytest.mark.parametrize(("named", "neighbour"), DIRECTORIES)
def test_spans_come_from_the_named_directory(tmp_path, named, neighbour):
    put(tmp_path / named, "3/v1/train.csv", "3/v1/test.csv", "4/v2/train.csv", "4/v2/test.csv")
    put(tmp_path / neighbour, "9/v7/train.csv", "9/v7/test.csv")
    assert resolve(tmp_path / named)[:3] == (4, 2, ["4/v2/train.csv", "4/v2/test.csv"])
    assert resolve(tmp_path / named, span=3)[:2] == (3, 1)


@pytest.mark.parametrize(("named", "neighbour"), DIRECTORIES)
def test_the_fingerprint_comes_from_the_named_directory(tmp_path, named, neighbour):
    put(tmp_path / named, "train.csv", "test.csv")
    span, version, _, before = resolve(tmp_path / named, "%s.csv")
    assert (span, version) == (0, None)
    assert "split:train,num_files:1,total_bytes:9," in before
    put(tmp_path / neighbour, "train.csv", "test.csv", "9/v7/train.csv")
    assert resolve(tmp_path / named, "%s.csv")[3] == before


def test_the_fingerprint_depends_on_size_and_time_of_each_file(tmp_path):
    put(tmp_path, "train-1.csv", "train-2.csv", "test-1.csv")
    seen = {resolve(tmp_path, "%s-*.csv")[3]}
    (tmp_path / "train-2.csv").write_text("longer than before")
    seen.add(resolve(tmp_path, "%s-*.csv")[3])
    os.utime(tmp_path / "test-1.csv", (1_000, 1_000))
    seen.add(resolve(tmp_path, "%s-*.csv")[3])
    put(tmp_path, "train-3.csv")
    seen.add(resolve(tmp_path, "%s-*.csv")[3])
    assert len(seen) == 4


def test_hidden_files_change_neither_span_nor_fingerprint(tmp_path):
    put(tmp_path, "3/v1/train.csv", "3/v1/test.csv")
    before = resolve(tmp_path, "{SPAN}/v{VERSION}/%s*.csv")
    put(
        tmp_path,
        "3/v1/._train.csv",
        ".4/v1/train.csv",
        "_4/v1/train.csv",
        "3/_temporary/train.csv",
        "3/v1/.train.csv.crc",
    )
    assert resolve(tmp_path, "{SPAN}/v{VERSION}/%s*.csv") == before


def test_an_incomplete_span_is_a_data_error(tmp_path):
    put(tmp_path, "3/v1/train.csv", "3/v1/test.csv", "4/v1/train.csv")
    with pytest.raises(DataError, match=r"data\.test_pattern .* no file of span 4 "):
        resolve(tmp_path)
    with pytest.raises(DataError, match=r"no file of span 7 "):
        resolve(tmp_path, span=7)
    assert resolve(tmp_path, span=3)[0] == 3


def test_a_span_in_a_name_with_leading_zeros_is_found_by_its_width(tmp_path):
    put(tmp_path, "007/v1/train.csv", "007/v1/test.csv")
    assert resolve(tmp_path, "{SPAN:3}/v{VERSION}/%s.csv")[2] == ["007/v1/train.csv", "007/v1/test.csv"]
    # Without the width the executor would look for 7/v1, which is not there.
    with pytest.raises(DataError, match="no file of span"):
        resolve(tmp_path)
