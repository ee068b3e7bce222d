"""What came in: counted within the Beam pipeline, read back by the component."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from components.example_gen.rows import Reason
from schema.errors import DataError
from schema.features import SPLITS, TEST

QUARANTINE_FILE = "quarantine.jsonl"
_COUNTS_FILE = "counts.json"
_SHOWN = 3


def write_counts(
    read: beam.PCollection, splits: Mapping[str, beam.PCollection], rejected: beam.PCollection, directory: str
) -> None:
    """Adds transforms that count rows, reasons and repeated texts, and write them as one JSON object.

    Args:
        read: every row as read.
        splits: good rows (`Row`) by split.
        rejected: bad rows (`RejectedRow`).
        directory: where counts.json goes.
    """
    texts = [
        rows | f"Side[{name}]" >> beam.Map(lambda row, is_test: (row.id, is_test), name == TEST)
        for name, rows in splits.items()
    ]
    repeats = texts | "Texts" >> beam.Flatten() | beam.CombinePerKey(_SidesOfAText()) | beam.FlatMap(_repeats)
    keys = [
        read | "CountRead" >> beam.Map(lambda _: "rows_read"),
        *(rows | f"Count[{name}]" >> beam.Map(lambda _, key: key, f"rows_{name}") for name, rows in splits.items()),
        rejected | "CountRejected" >> beam.Map(lambda row: f"quarantined_{row.reason}"),
    ]
    ones = keys | "Keys" >> beam.Flatten() | "One" >> beam.Map(lambda key: (key, 1))
    (
        [ones, repeats]
        | "All" >> beam.Flatten()
        | "Sum" >> beam.CombinePerKey(sum)
        | beam.combiners.ToDict()
        | "CountsToJson" >> beam.Map(lambda counts: json.dumps(counts, sort_keys=True))
        | "Counts" >> beam.io.WriteToText(f"{directory}/{_COUNTS_FILE}", num_shards=1, shard_name_template="")
    )


class _SidesOfAText(beam.CombineFn):
    """How often a text stands in the training files, and how often in the test files."""

    def create_accumulator(self):
        return (0, 0)

    def add_input(self, counts, is_test):
        return (counts[0] + (not is_test), counts[1] + is_test)

    def merge_accumulators(self, accumulators):
        return tuple(map(sum, zip((0, 0), *accumulators, strict=True)))

    def extract_output(self, counts):
        return counts


def _repeats(element):
    _, (train, test) = element
    if repeated := max(train - 1, 0) + max(test - 1, 0):
        yield "duplicates", repeated
    if train and test:
        yield "train_test_overlap", test


@dataclass(frozen=True)
class IngestionReport:
    """Counts of an ingestion, and where its quarantined rows are."""

    counts: dict[str, int]
    quarantine: str
    examples_of_bad_rows: list[dict[str, Any]]

    @classmethod
    def read(cls, directory: str) -> "IngestionReport":
        """Reads what the pipeline wrote to `directory`."""
        quarantine = f"{directory}/{QUARANTINE_FILE}"
        with FileSystems.open(f"{directory}/{_COUNTS_FILE}") as file:
            counts = json.loads(file.read())
        with FileSystems.open(quarantine) as file:
            examples = [json.loads(line) for line, _ in zip(file, range(_SHOWN), strict=False)]
        return cls(counts, quarantine, examples)

    def properties(self) -> dict[str, int | str]:
        """The counts as properties of the Examples artifact; every count is there, zero or not."""
        rows = {name: self.counts.get(f"rows_{name}", 0) for name in ("read", *SPLITS)}
        bad = {f"quarantined_{reason}": self.counts.get(f"quarantined_{reason}", 0) for reason in Reason}
        return {
            **{f"rows_{name}": count for name, count in rows.items()},
            "rows_written": sum(rows[name] for name in SPLITS),
            "rows_quarantined": sum(bad.values()),
            **bad,
            "duplicates": self.counts.get("duplicates", 0),
            "train_test_overlap": self.counts.get("train_test_overlap", 0),
            "quarantine_uri": self.quarantine,
        }

    def check(self, max_bad_fraction: float) -> None:
        """Stops the run when too many rows are bad, or a split is empty.

        Raises:
            DataError: it names the reasons with their counts, some rows, and the quarantine file.
        """
        found = self.properties()
        read, bad = int(found["rows_read"]), int(found["rows_quarantined"])
        if read != int(found["rows_written"]) + bad:
            raise RuntimeError(
                f"{read} rows read, but {found['rows_written']} written and {bad} quarantined: a row was lost"
            )
        if bad > max_bad_fraction * read:
            reasons = ", ".join(
                f"{reason} {found[f'quarantined_{reason}']}" for reason in Reason if found[f"quarantined_{reason}"]
            )
            shown = "\n".join(
                f"  {row['file']}, row {row['number']}: {row['reason']}: {row['detail']}"
                for row in self.examples_of_bad_rows
            )
            raise DataError(
                f"{bad} of {read} rows are bad ({bad / read:.2%}), allowed are {max_bad_fraction:.2%}: {reasons}\n"
                f"{shown}\n"
                f"All of them are in {self.quarantine}. Correct the files, or raise data.max_bad_fraction"
            )
        for split in SPLITS:
            if not found[f"rows_{split}"]:
                raise DataError(
                    f"of {read} rows none is left for the split {split}: give more rows, or change data.val_fraction"
                )
