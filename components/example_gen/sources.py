"""Finds the data: a path, AG_NEWS_DIR, the public download, or the synthetic sample."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.download import Offline, PublicFiles
from components.example_gen.readers import FORMATS
from components.example_gen.spans import find_span, is_dated, matching_files
from components.example_gen.synthetic import write_synthetic
from schema.errors import DataError
from schema.features import TEST, TRAIN
from schema.paths import is_remote, list_files

AG_NEWS = PublicFiles(
    "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/",
    {"train.csv": "b1a00f826fdfbd249f79597b59e1dc12", "test.csv": "d52ea96a97a2d943681189a97654912d"},
    "AG News (collected by A. Gulli, as a benchmark by X. Zhang, J. Zhao and Y. LeCun, 2015) is for research and other "
    "non-commercial use: http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html",
)
ENVIRONMENT = "AG_NEWS_DIR"
# Patterns of a split's files, of which the first that matches is used: official CSV, sharded CSV (Hugging Face, Beam),
# Hugging Face's Parquet, TFDS.
_NAMES = (
    *("{split}.csv", "{split}.csv.gz", "{split}-*-of-*.csv", "{split}-*-of-*.csv.gz"),
    *(
        "{split}.tsv",
        "{split}.tsv.gz",
        "{split}.jsonl",
        "{split}.jsonl.gz",
        "{split}-*-of-*.jsonl",
        "{split}-*-of-*.jsonl.gz",
    ),
    *("{split}*.parquet", "*-{split}.tfrecord*"),
)


@dataclass(frozen=True)
class DataSource:
    """The data files of a run, and how they were found.

    Attributes:
        base: directory to which the patterns are relative.
        train_pattern: glob of the training files; may contain {SPAN} and {VERSION}.
        test_pattern: glob of the test files, like `train_pattern`; "" if test rows are drawn from the training rows.
        found_by: "path", "AG_NEWS_DIR", "download" or "synthetic".
        offline: why the public files could not be downloaded, if the rows are synthetic.
    """

    base: str
    train_pattern: str
    test_pattern: str
    found_by: str
    offline: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether the rows are the project's synthetic sample."""
        return self.found_by == "synthetic"

    def describe(self) -> str:
        """Returns a one-line description for people."""
        if self.synthetic:
            return f"SYNTHETIC rows made by this project ({self.base})"
        how = {"path": "data.path", "download": "the public download"}.get(self.found_by, self.found_by)
        return f"{self.base} (from {how})"

    @property
    def is_dated(self) -> bool:
        """Whether the files are split into spans."""
        return is_dated(self.train_pattern)

    def files(self, pattern: str) -> list[str]:
        """Returns the sorted files that one of the patterns matches; {SPAN} and {VERSION} match anything."""
        return matching_files(self.base, pattern)

    def check_span(self, span: int | None) -> None:
        """Checks that the span which a run would ingest is complete. A remote directory is not checked.

        Args:
            span: number of the span; None for the latest span that any file belongs to.

        Raises:
            DataError: a split has no files of the span, or files of another version.
        """
        if self.is_dated and not is_remote(self.base):
            patterns = {"data.train_pattern": self.train_pattern, "data.test_pattern": self.test_pattern}
            find_span(self.base, {key: pattern for key, pattern in patterns.items() if pattern}, span)


def resolve(
    path: str | None,
    train_pattern: str | None,
    test_pattern: str | None,
    *,
    cache: Path,
    synthetic_rows: int,
    synthetic_seed: int,
    download: Callable[[Path], None],
    has_test_files: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> DataSource:
    """Finds the data files in this order: `path`, AG_NEWS_DIR, an earlier or a new download, the synthetic sample.

    Args:
        path: directory with the data, or None.
        train_pattern: glob under `path`, or None to find the files by name.
        test_pattern: like `train_pattern`.
        cache: directory for downloaded and synthetic rows.
        synthetic_rows: number of training rows of the synthetic sample, which has a quarter as many test rows.
        synthetic_seed: seed of the synthetic sample.
        has_test_files: whether there are test files, next to the training files.
        download: function that downloads into a directory; raises `Offline` if there is no network.
        environ: environment variables.

    Raises:
        DataError: a named directory has no data, or the download failed although the network is up.
    """
    if path is not None:
        if train_pattern is not None and (test_pattern is not None or not has_test_files):
            return _with_patterns(path, train_pattern, test_pattern or "")
        return _in_directory(path, "path", "data.path", has_test_files)
    if environ.get(ENVIRONMENT):
        return _in_directory(os.path.expanduser(environ[ENVIRONMENT]), ENVIRONMENT, ENVIRONMENT)
    downloaded = cache / "ag_news"
    if not all((downloaded / name).exists() for name in AG_NEWS.md5):
        try:
            download(downloaded)
        except Offline as offline:
            directory = cache / f"synthetic-{synthetic_rows}-{synthetic_seed}"
            write_synthetic(directory, train_rows=synthetic_rows, test_rows=synthetic_rows // 4, seed=synthetic_seed)
            return replace(_in_directory(str(directory), "synthetic", "the synthetic sample"), offline=str(offline))
    return _in_directory(str(downloaded), "download", "the download")


def _with_patterns(path: str, train_pattern: str, test_pattern: str) -> DataSource:
    source = DataSource(_base(path, "data.path"), train_pattern, test_pattern, "path")
    for key, pattern in (("data.train_pattern", train_pattern), ("data.test_pattern", test_pattern)):
        # The driver checks a remote directory; it has the file systems for it.
        if pattern and not is_remote(path) and not source.files(pattern):
            raise DataError(f"{key} {pattern!r} matches no file under data.path {path}; correct one of the two")
    return source


def _base(path: str, setting: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{setting} {path}: the name cannot be read as UTF-8, so TFX cannot record it. Rename the directory, or "
            "set PYTHONUTF8=1 if the locale is not UTF-8"
        ) from error
    return path if is_remote(path) else os.path.abspath(path)


def _in_directory(directory: str, found_by: str, setting: str, has_test_files: bool = True) -> DataSource:
    if is_remote(directory):
        return DataSource(directory, "train.csv", "test.csv" if has_test_files else "", found_by)
    if not os.path.isdir(directory):
        raise DataError(f"{setting} {directory}: no such directory; correct it, or unset it to use the public download")
    base = _base(directory, setting)
    test_pattern = _named(base, TEST, setting) if has_test_files else ""
    return DataSource(base, _named(base, TRAIN, setting), test_pattern, found_by)


def _named(base: str, split: str, setting: str) -> str:
    for name in _NAMES:
        pattern = name.format(split=split)
        if list_files(base, pattern):
            return pattern
    looked_for = ", ".join(name.format(split=split) for name in _NAMES)
    raise DataError(
        f"{setting} {base} has no {split} files; searched for {looked_for}. Name other files with "
        f"--data {shlex.quote(base)} --set data.train_pattern=… --set data.test_pattern=…, for instance 'part-*.csv'; "
        "without test files, set data.test_fraction; "
        f"supported formats: {FORMATS}"
    )
