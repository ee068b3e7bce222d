"""Where the rows come from: a path, AG_NEWS_DIR, the public download, or else the synthetic sample."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.example_gen.download import MD5, Offline
from components.example_gen.readers import FORMATS
from components.example_gen.spans import find_span, is_dated, matching_files
from components.example_gen.synthetic import write_synthetic
from schema.errors import DataError
from schema.features import TEST, TRAIN
from schema.paths import is_remote, list_files

ENVIRONMENT = "AG_NEWS_DIR"
# Names of a split's files, the first kind that exists counts: official CSV, the same in shards (Hugging Face, Beam),
# Hugging Face's Parquet, TFDS.
_NAMES = (
    *("{split}.csv", "{split}.csv.gz", "{split}-*-of-*.csv", "{split}-*-of-*.csv.gz"),
    *("{split}*.parquet", "*-{split}.tfrecord*"),
)


@dataclass(frozen=True)
class DataSource:
    """The data files of one run, and how they were found.

    Attributes:
        base: directory that the patterns are relative to.
        train_pattern: glob of the training files; may hold {SPAN} and {VERSION}.
        test_pattern: glob of the test files, likewise.
        found_by: "path", "AG_NEWS_DIR", "download" or "synthetic".
        offline: of synthetic rows, why the public files could not be downloaded.
    """

    base: str
    train_pattern: str
    test_pattern: str
    found_by: str
    offline: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether the rows were made by this project."""
        return self.found_by == "synthetic"

    def describe(self) -> str:
        """One line for people."""
        if self.synthetic:
            return f"SYNTHETIC rows made by this project, not AG News ({self.base})"
        how = {"path": "data.path", "download": "the public download"}.get(self.found_by, self.found_by)
        return f"{self.base} (from {how})"

    @property
    def dated(self) -> bool:
        """Whether the rows come span by span."""
        return is_dated(self.train_pattern)

    def files(self, pattern: str) -> list[str]:
        """The files that one of the patterns matches, in order; {SPAN} and {VERSION} stand for anything."""
        return matching_files(self.base, pattern)

    def check_span(self, span: int | None) -> None:
        """Sees to it that the span which a run would ingest is there as a whole.

        Args:
            span: its number; None for the latest that any file belongs to.

        Raises:
            DataError: a split has no files of that span, or not of the same version. A remote place is not looked at.
        """
        if self.dated and not is_remote(self.base):
            patterns = {"data.train_pattern": self.train_pattern, "data.test_pattern": self.test_pattern}
            find_span(self.base, patterns, span)


def resolve(
    path: str | None,
    train_pattern: str | None,
    test_pattern: str | None,
    *,
    cache: Path,
    synthetic_rows: int,
    synthetic_seed: int,
    download: Callable[[Path], None],
    environ: Mapping[str, str] = os.environ,
) -> DataSource:
    """Finds the data files, in this order: `path`, AG_NEWS_DIR, an earlier or a new download, the synthetic sample.

    Args:
        path: directory with the data, or None.
        train_pattern: glob under `path`, or None to find the files by name.
        test_pattern: like `train_pattern`.
        cache: directory for downloaded and synthetic rows.
        synthetic_rows: training rows of the synthetic sample; it has a quarter as many test rows.
        synthetic_seed: seed of its grammar.
        download: downloads into a directory; raises `Offline` where there is no network.
        environ: the environment.

    Raises:
        DataError: a named directory holds no data, or the download failed for another reason than the network.
    """
    if path is not None:
        if train_pattern is not None and test_pattern is not None:
            return _with_patterns(path, train_pattern, test_pattern)
        return _in_directory(path, "path", "data.path")
    if environ.get(ENVIRONMENT):
        return _in_directory(os.path.expanduser(environ[ENVIRONMENT]), ENVIRONMENT, ENVIRONMENT)
    downloaded = cache / "ag_news"
    if not all((downloaded / name).exists() for name in MD5):
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
        # A remote place is left to the driver, which has the file systems for it.
        if not is_remote(path) and not source.files(pattern):
            raise DataError(f"{key} {pattern!r} matches no file under data.path {path}; correct one of the two")
    return source


def _base(path: str, setting: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{setting} {path}: the name is not UTF-8, and TFX cannot record it; rename the directory"
        ) from error
    return path if is_remote(path) else os.path.abspath(path)


def _in_directory(directory: str, found_by: str, setting: str) -> DataSource:
    if is_remote(directory):
        return DataSource(directory, "train.csv", "test.csv", found_by)
    if not os.path.isdir(directory):
        raise DataError(f"{setting} {directory}: no such directory; correct it, or unset it to use the public download")
    base = _base(directory, setting)
    return DataSource(base, _named(base, TRAIN, setting), _named(base, TEST, setting), found_by)


def _named(base: str, split: str, setting: str) -> str:
    for name in _NAMES:
        pattern = name.format(split=split)
        if list_files(base, pattern):
            return pattern
    looked_for = ", ".join(name.format(split=split) for name in _NAMES)
    raise DataError(
        f"{setting} {base} holds no {split} files: looked for {looked_for}. Name other files with "
        f"--data {shlex.quote(base)} --set data.train_pattern=… --set data.test_pattern=…, for instance 'part-*.csv'; "
        f"read are {FORMATS}"
    )
