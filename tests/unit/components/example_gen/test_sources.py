import re
import shlex
from pathlib import Path

import pytest

from components.download import Offline
from components.example_gen.sources import resolve
from pipeline.settings.sources import load
from schema.errors import DataError


def offline(directory):
    raise Offline("no network")


def unexpected(directory):
    raise AssertionError("nothing must be downloaded here")


@pytest.fixture
def find(tmp_path):
    def find(path=None, train=None, test=None, *, download=unexpected, environ=None):
        return resolve(
            path,
            train,
            test,
            cache=tmp_path / "cache",
            synthetic_rows=40,
            synthetic_seed=7,
            download=download,
            environ=environ or {},
        )

    return find


def make(directory, *names):
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("")
    return str(directory)


def test_an_explicit_path_comes_before_the_environment(find, tmp_path):
    here = make(tmp_path / "here", "train.csv", "test.csv")
    there = make(tmp_path / "there", "train.csv", "test.csv")
    source = find(here, environ={"AG_NEWS_DIR": there})
    assert (source.base, source.found_by, source.synthetic) == (here, "path", False)


def test_the_environment_comes_before_a_download(find, tmp_path):
    there = make(tmp_path / "there", "train.csv", "test.csv")
    source = find(environ={"AG_NEWS_DIR": there})
    assert (source.base, source.found_by) == (there, "AG_NEWS_DIR")


def test_a_wrong_path_is_an_error_without_fallback(find, tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        find(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="AG_NEWS_DIR"):
        find(environ={"AG_NEWS_DIR": str(tmp_path / "gone")})


def test_a_directory_without_data_is_refused_with_the_patterns(find, tmp_path):
    with pytest.raises(DataError, match=r"test\.csv, test\.csv\.gz, test-\*-of-\*\.csv, .*, test\*\.parquet, "):
        find(make(tmp_path / "half", "train.csv"))


@pytest.mark.parametrize("named_by", ["path", "AG_NEWS_DIR"])
def test_the_printed_advice_for_other_names_works(find, tmp_path, named_by):
    """Parses the options in the message like a shell, then loads them like `agnews`."""
    base = make(tmp_path / "it's [1]", "part-train.csv", "part-test.csv")
    with pytest.raises(DataError, match="Name other files with") as refused:
        find(**{"path": {"path": base}, "AG_NEWS_DIR": {"environ": {"AG_NEWS_DIR": base}}}[named_by])
    advice = re.search(r"--data (.*) --set (\S+)=… --set (\S+)=…,", str(refused.value))
    assert advice
    [data] = shlex.split(advice[1])
    flags = {key: (f"part-{split}.csv", "flag") for key, split in ((advice[2], "train"), (advice[3], "test"))}
    settings = load(flags=flags, data_path=data, environ={"AG_NEWS_DIR": base}).settings.data
    source = find(settings.path, settings.train_pattern, settings.test_pattern)
    assert [len(source.files(pattern)) for pattern in (source.train_pattern, source.test_pattern)] == [1, 1]


@pytest.mark.parametrize("patterns", [(), ("train.csv", "test.csv")])
def test_a_directory_name_with_invalid_utf8_is_refused(find, tmp_path, patterns):
    base = make(tmp_path / "\udcff", "train.csv", "test.csv")
    with pytest.raises(DataError, match=r"^data\.path .*not UTF-8"):
        find(base, *patterns)


def test_all_shards_are_found_but_no_hidden_file(find, tmp_path):
    shards = [f"train-0000{number}-of-00003.csv" for number in range(3)]
    base = make(tmp_path / "shards", *shards, "._train-00000-of-00003.csv", "test-00000-of-00001.csv")
    source = find(environ={"AG_NEWS_DIR": base})
    assert [Path(file).name for file in source.files(source.train_pattern)] == shards


def test_a_tilde_in_the_environment_is_the_home_directory(find, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "ag_news", "train.csv", "test.csv")
    assert find(environ={"AG_NEWS_DIR": "~/ag_news"}).base == str(tmp_path / "ag_news")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.csv.gz", "test.csv.gz"),
        ("train-00000-of-00004.csv", "test-00000-of-00001.csv"),
        ("train-00000-of-00004.csv.gz", "test-00000-of-00001.csv.gz"),
        ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("ag_news_subset-train.tfrecord-00000-of-00001", "ag_news_subset-test.tfrecord-00000-of-00001"),
    ],
)
def test_files_of_every_format_are_found_by_name(find, tmp_path, train, test):
    source = find(make(tmp_path / "data [1]", train, test))
    assert [file.rpartition("/")[2] for file in source.files(source.train_pattern)] == [train]
    assert [file.rpartition("/")[2] for file in source.files(source.test_pattern)] == [test]


def test_patterns_with_spans_match_dated_folders(find, tmp_path):
    base = make(tmp_path / "dated", "1/v1/train.csv", "2/v1/train.csv", "1/v1/test.csv")
    source = find(base, "{SPAN}/v{VERSION}/train.csv", "{SPAN:1}/v{VERSION}/test.csv")
    assert len(source.files(source.train_pattern)) == 2


def test_a_pattern_that_matches_nothing_names_its_setting(find, tmp_path):
    base = make(tmp_path / "dated", "1/train.csv")
    with pytest.raises(DataError, match=r"data\.test_pattern '\{SPAN\}/test\.csv'"):
        find(base, "{SPAN}/train.csv", "{SPAN}/test.csv")


def test_an_earlier_download_is_used(find):
    def download(directory):
        make(directory, "train.csv", "test.csv")

    assert find(download=download).found_by == "download"
    assert find(download=unexpected).found_by == "download"


def test_synthetic_rows_are_used_and_named_when_offline(find):
    source = find(download=offline)
    assert source.synthetic
    assert "SYNTHETIC" in source.describe()
    assert source.offline == "no network"
    assert len(Path(source.files(source.train_pattern)[0]).read_text().splitlines()) == 40
    assert len(Path(source.files(source.test_pattern)[0]).read_text().splitlines()) == 10


def test_a_damaged_download_is_an_error_without_fallback(find):
    def download(directory):
        raise DataError("train.csv: the download has another MD5")

    with pytest.raises(DataError, match="MD5"):
        find(download=download)


DATED = {"train": "{YYYY}-{MM}-{DD}/v{VERSION}/train.csv", "test": "{YYYY}-{MM}-{DD}/v{VERSION}/test.csv"}


@pytest.fixture
def days(find, tmp_path):
    """Returns a source of the named files, whose paths begin with day and version."""

    def days(*names):
        return find(make(tmp_path / "days", *(f"2026-03-0{name}.csv" for name in names)), **DATED)

    return days


def test_a_complete_span_is_accepted_by_number_and_as_latest(days):
    source = days("1/v1/train", "1/v1/test", "2/v1/train", "2/v1/test", "2/v2/train", "2/v2/test")
    assert source.is_dated
    for span in (None, 20513, 20514):
        source.check_span(span)


def test_a_missing_span_is_reported_with_the_complete_ones(days):
    source = days("1/v1/train", "1/v1/test", "2/v1/train", "2/v1/test")
    with pytest.raises(DataError, match=r"no file of span 2026-03-04 .*2026-03-01, 2026-03-02\."):
        source.check_span(20516)


def test_an_incomplete_latest_span_is_not_ingested(days):
    source = days("1/v1/train", "1/v1/test", "2/v1/train")
    with pytest.raises(DataError, match=r"data\.test_pattern .* no file of span 2026-03-02 .*2026-03-01\. Wait"):
        source.check_span(None)
    source.check_span(20513)


def test_an_incomplete_version_is_not_ingested(days):
    source = days("1/v1/train", "1/v1/test", "1/v2/train")
    with pytest.raises(DataError, match=r"version 2 of data\.train_pattern and version 1 of data\.test_pattern"):
        source.check_span(None)


def test_files_without_spans_in_their_names_are_reported(find, tmp_path):
    source = find(make(tmp_path / "days", "new/train.csv", "new/test.csv"), "{SPAN}/train.csv", "{SPAN}/test.csv")
    with pytest.raises(DataError, match=r"no file of span 0 .* none"):
        source.check_span(None)


def test_data_without_spans_and_remote_data_are_not_checked(find, tmp_path):
    find(make(tmp_path / "plain", "train.csv", "test.csv")).check_span(None)
    find("gs://bucket/data", **DATED).check_span(20513)
