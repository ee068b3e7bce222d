"""The report of an ingestion: counted within the Beam pipeline, and read by the executor afterwards."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from components.example_gen.csv_reader import EXPECTED
from components.example_gen.rows import LabelledItem, RejectedRow
from schema.errors import DataError
from schema.features import SPLITS, TEST, TRAIN, VAL
from schema.news_items import RejectReason

QUARANTINE_FILE = "quarantine.jsonl"
_COUNTS_FILE = "counts.json"
_SHOWN = 3
# A file in another format has almost only bad rows; above this share, a higher limit would not help.
_BAD_AS_A_WHOLE = 0.1
# Bytes of ids packed into one element.
_PACKED_BYTES = 8 * 1024


def write_counts(
    available: Mapping[str, beam.PCollection],
    read: Mapping[str, beam.PCollection],
    splits: Mapping[str, beam.PCollection],
    rejected: beam.PCollection,
    directory: str,
) -> None:
    """Adds transforms that count rows, reject reasons and repeated texts, and write them as one JSON object.

    Beam's direct runner holds flattened and grouped elements in memory. Rows are therefore counted before that, and
    only their ids are grouped, with many of them packed into one element.

    Args:
        available: all rows of the files, by input split.
        read: rows that are used: all of them, or a sample.
        splits: valid rows (`LabelledItem`) by split.
        rejected: rejected rows (`RejectedRow`).
        directory: directory of counts.json.
    """
    counted = [(f"Read[{name}]", rows, "rows_read") for name, rows in read.items()]
    counted += [(f"Available[{name}]", rows, "rows_available") for name, rows in available.items()]
    counted += [(f"Split[{name}]", rows, f"rows_{name}") for name, rows in splits.items()]
    counts = [rows | f"Count{label}" >> beam.ParDo(_Count(partial(_one, key))) for label, rows, key in counted]
    counts.append(rejected | "CountRejected" >> beam.ParDo(_Count(_rejected_counts)))
    ids = [rows | f"PackIds[{name}]" >> beam.ParDo(_PackIds(is_test=name == TEST)) for name, rows in splits.items()]
    repeats = ids | "Ids" >> beam.Flatten() | beam.GroupByKey() | beam.FlatMap(_repeats)
    (
        [*counts, repeats]
        | "All" >> beam.Flatten()
        | "Sum" >> beam.CombinePerKey(sum)
        | beam.combiners.ToDict()
        | "CountsToJson" >> beam.Map(lambda counts: json.dumps(counts, sort_keys=True))
        | "Counts" >> beam.io.WriteToText(f"{directory}/{_COUNTS_FILE}", num_shards=1, shard_name_template="")
    )


def _one(key: str, _: Any) -> dict[str, int]:
    return {key: 1}


def _rejected_counts(row: RejectedRow) -> dict[str, int]:
    # A record whose quotes may have swallowed other rows counts as that many rows.
    return {"lines_quarantined": row.lines, f"quarantined_{row.reason}": 1}


class _Count(beam.DoFn):
    """Sums the counts that a function gives for each row, and yields (name, sum) once a bundle.

    Beam's own counters add a dozen transforms for each collection, which takes longer than a small data set.
    """

    def __init__(self, counts_of: Callable[[Any], Mapping[str, int]]):
        self._counts_of = counts_of

    def start_bundle(self) -> None:
        self._counts: Counter[str] = Counter()

    def process(self, row: Any) -> None:
        self._counts.update(self._counts_of(row))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        return map(GlobalWindows.windowed_value, self._counts.items())


class _PackIds(beam.DoFn):
    """Packs ids as 8 bytes each, into elements of (first byte, (whether the rows are test rows, ids))."""

    def __init__(self, *, is_test: bool):
        self._is_test = is_test

    def start_bundle(self) -> None:
        self._packed: dict[int, bytearray] = defaultdict(bytearray)

    def process(self, row: LabelledItem) -> Iterator[tuple[int, tuple[bool, bytes]]]:
        digest = bytes.fromhex(row.id)
        ids = self._packed[digest[0]]
        ids += digest
        if len(ids) == _PACKED_BYTES:
            yield digest[0], (self._is_test, bytes(self._packed.pop(digest[0])))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for first, ids in self._packed.items():
            yield GlobalWindows.windowed_value((first, (self._is_test, bytes(ids))))


def _repeats(element: tuple[int, Iterable[tuple[bool, bytes]]]) -> Iterator[tuple[str, int]]:
    """Counts repeated texts within the training files and within the test files, and test rows also in the training."""
    packed = list(element[1])
    train, test = (
        np.frombuffer(b"".join(ids for is_test, ids in packed if is_test == side), np.uint64) for side in (False, True)
    )
    trained, tested = np.unique(train), np.unique(test)
    yield "duplicates", len(train) - len(trained) + len(test) - len(tested)
    yield "train_test_overlap", int(np.isin(test, trained).sum())


@dataclass(frozen=True)
class IngestionReport:
    """Counts of an ingestion, the URI of its quarantine file, and the first quarantined rows."""

    counts: dict[str, int]
    quarantine: str
    examples_of_bad_rows: list[dict[str, Any]]

    @classmethod
    def read(cls, directory: str) -> "IngestionReport":
        """Reads the report that the Beam pipeline wrote to a directory."""
        quarantine = f"{directory}/{QUARANTINE_FILE}"
        with FileSystems.open(f"{directory}/{_COUNTS_FILE}") as file:
            counts = json.loads(file.read())
        with FileSystems.open(quarantine) as file:
            examples = [json.loads(line) for line, _ in zip(file, range(_SHOWN), strict=False)]
        return cls(counts, quarantine, examples)

    def properties(self) -> dict[str, int | str]:
        """Returns all counts, including zeros, as properties of the Examples artifact."""
        rows = {name: self.counts.get(f"rows_{name}", 0) for name in ("available", "read", *SPLITS)}
        bad = {f"quarantined_{reason}": self.counts.get(f"quarantined_{reason}", 0) for reason in RejectReason}
        left_out = rows.pop("available") - rows["read"]
        return {
            **{f"rows_{name}": count for name, count in rows.items()},
            "rows_left_out": left_out,
            "rows_written": sum(rows[name] for name in SPLITS),
            "rows_quarantined": sum(bad.values()),
            **bad,
            "duplicates": self.counts.get("duplicates", 0),
            "train_test_overlap": self.counts.get("train_test_overlap", 0),
            "quarantine_uri": self.quarantine,
        }

    def check(self, max_bad_fraction: float) -> None:
        """Stops the run if too many rows are bad or a split is empty. A bad row of n lines counts as n rows.

        Args:
            max_bad_fraction: maximum share of bad rows.

        Raises:
            DataError: the message names the reasons with their counts, some rows, and the quarantine file.
        """
        found = self.properties()
        read, bad = int(found["rows_read"]), int(found["rows_quarantined"])
        if read != int(found["rows_written"]) + bad:
            raise RuntimeError(
                f"{read} rows read, but {found['rows_written']} written and {bad} quarantined: a row was lost"
            )
        lines = self.counts.get("lines_quarantined", 0)
        share = lines / max(read - bad + lines, 1)
        if share > max_bad_fraction:
            reasons = ", ".join(
                f"{reason} {found[f'quarantined_{reason}']}"
                for reason in RejectReason
                if found[f"quarantined_{reason}"]
            )
            shown = "\n".join(
                f"  {row['file']}, row {row['number']}: {row['reason']}: {row['detail']}"
                for row in self.examples_of_bad_rows
            )
            raise DataError(
                f"{bad} of {read} rows are bad{f', of {lines} lines' if lines > bad else ''} ({share:.2%}), "
                f"the limit is {max_bad_fraction:.2%}: {reasons}\n{shown}\n"
                f"All bad rows are in {self.quarantine}. {self._advice(share)}"
            )
        for split in SPLITS:
            if not found[f"rows_{split}"]:
                raise DataError(
                    f"the split {split} has no rows, of {read} rows read: add rows, or change data.val_fraction"
                )

    def _advice(self, bad_share: float) -> str:
        """Returns what to do about too many bad rows."""
        rows = {split: self.counts.get(f"rows_{split}", 0) for split in SPLITS}
        if bad_share > _BAD_AS_A_WHOLE or not rows[TEST] or not rows[TRAIN] + rows[VAL]:
            return f"A file seems to have another format: check its first rows. Expected: {EXPECTED}"
        return "Correct the files, or raise data.max_bad_fraction"
