"""TFX's driver of file-based ExampleGens (spans, versions, fingerprints) with this project's listing of files.

TFX's driver treats the directory as part of the pattern, so it searches other directories if the name contains `[1]`,
and it includes hidden files.
"""

from collections.abc import Iterable, Sequence

from tfx.components.example_gen.driver import FileBasedDriver
from tfx.components.example_gen.input_processor import FileBasedInputProcessor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2, range_config_pb2

from components.example_gen.spans import find_span, is_dated
from schema.paths import list_files

_NANOSECONDS = 10**9


class InputProcessor(FileBasedInputProcessor):
    """Finds the span and version to ingest, and computes the fingerprint of their files."""

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """Returns the span, or 0 if the patterns have no spans, and the version if they have versions.

        Raises:
            DataError: the span is incomplete.
        """
        patterns = {f"data.{split.name}_pattern": split.pattern for split in self._splits}
        if not all(map(is_dated, patterns.values())):
            return 0, None
        fixed = self._range_config.static_range.start_span_number if self._range_config else None
        return find_span(self._input_base_uri, patterns, fixed)

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        """Returns number, size and times of each split's files, in TFX's format."""
        patterns = {
            split.name: self.get_pattern_for_span_version(split.pattern, span, version) for split in self._splits
        }
        return "\n".join(
            _fingerprint(name, list_files(self._input_base_uri, pattern)) for name, pattern in patterns.items()
        )


def _fingerprint(split: str, files: Sequence[str]) -> str:
    """Returns a fingerprint as tfx/utils/io_utils.py does, so that the cache of earlier runs stays valid."""
    checksum = 0
    stats = [fileio.stat(file) for file in files]
    times = [int(stat.mtime_nsec / _NANOSECONDS) for stat in stats]
    for time in times:
        checksum ^= time
    return (
        f"split:{split},num_files:{len(files)},total_bytes:{sum(stat.length for stat in stats)},"
        f"xor_checksum:{checksum},sum_checksum:{sum(times)}"
    )


class Driver(FileBasedDriver):
    """TFX's driver with this module's input processor."""

    def get_input_processor(
        self,
        splits: Iterable[example_gen_pb2.Input.Split],
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> InputProcessor:
        """Returns the input processor for a directory or URI."""
        return InputProcessor(input_base_uri, splits, range_config)
