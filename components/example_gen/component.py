"""The ExampleGen component: TFX's file-based ExampleGen with the project's own driver and executor."""

from google.protobuf import struct_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2, range_config_pb2

from components.example_gen.driver import Driver
from components.example_gen.executor import ExampleGenExecutor
from components.example_gen.row_format import RowFormat
from components.example_gen.sources import DataSource
from schema.data_set import DataSet
from schema.features import TEST, TRAIN


class AgNewsExampleGen(FileBasedExampleGen):
    """Ingests labelled texts into the splits train, val and test.

    The output `examples` has custom properties with the numbers of rows read, written and quarantined, of duplicates,
    and of texts in both train and test, and with the source and the span.
    """

    DRIVER_CLASS = Driver
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ExampleGenExecutor)

    def __init__(
        self,
        source: DataSource,
        *,
        data_set: DataSet,
        row_format: RowFormat,
        val_fraction: float,
        test_fraction: float | None,
        max_rows: int | None,
        max_bad_fraction: float,
        max_chars: int,
        code: str,
        span: int | None = None,
    ):
        """Creates the component.

        Args:
            source: the data files.
            data_set: classes and length buckets.
            row_format: columns of the files.
            val_fraction: share of the training rows that go to `val`.
            test_fraction: share of the training rows that go to `test` if there are no test files.
            max_rows: maximum number of training rows; None for all.
            max_bad_fraction: share of quarantined rows above which the run stops.
            max_chars: maximum number of characters in title and description together.
            code: fingerprint of the stage's code, which makes the cache notice changes.
            span: the span to ingest; None for the latest.
        """
        options = struct_pb2.Struct()
        options.update(
            {
                "data_set": data_set.encode(),
                "row_format": row_format.encode(),
                "val_fraction": val_fraction,
                "test_fraction": test_fraction or 0.0,
                "max_rows": max_rows or 0,
                "max_bad_fraction": max_bad_fraction,
                "max_chars": max_chars,
                "source": source.describe(),
                "synthetic": source.synthetic,
                "dated": source.is_dated,
                "code": code,
            }
        )
        custom_config = example_gen_pb2.CustomConfig()
        custom_config.custom_config.Pack(options)
        splits = [
            example_gen_pb2.Input.Split(name=TRAIN, pattern=source.train_pattern),
        ]
        if source.test_pattern:
            splits.append(example_gen_pb2.Input.Split(name=TEST, pattern=source.test_pattern))
        fixed = range_config_pb2.StaticRange(start_span_number=span, end_span_number=span) if span is not None else None
        super().__init__(
            input_base=source.base,
            input_config=example_gen_pb2.Input(splits=splits),
            custom_config=custom_config,
            range_config=range_config_pb2.RangeConfig(static_range=fixed) if fixed else None,
        )
