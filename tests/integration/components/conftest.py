"""Fixtures that several tests share: a transform graph learned from some thousand rows, and a tiny export."""

import random

import pytest

from tests.support.shared_files import make_once

MARKUP = [
    " #39;s",
    " quot;yes quot;",
    "&lt;b&gt;",
    "\\",
    "A&amp;B",
    "<br>",
    "#36;5",
    "nbsp;",
    "--",
    "U.S.",
    "3-2",
    "naïve",
    "東京",
    "ÉTÉ",
]


def make_rows(count, seed=3):
    """Returns texts with the corpus' markup, punctuation, digits, mixed case and non-ASCII characters."""
    generator = random.Random(seed)
    words = [f"{generator.choice('bcdfg')}{generator.choice('aeiou')}{index}" for index in range(300)] + MARKUP * 5
    rows = []
    for index in range(count):
        texts = [
            generator.choice([" ", "  ", ", ", ". ", "\t"]).join(
                generator.choice([str.upper, str.title, str.lower])(generator.choice(words))
                for _ in range(generator.randint(0, length))
            )
            for length in (6, 30)
        ]
        rows.append({"title": texts[0], "description": texts[1], "label": index % 4})
    return rows


@pytest.fixture(scope="session")
def rows():
    return make_rows(3000)


@pytest.fixture(scope="session")
def transform_output(rows, tmp_path_factory):
    """Writes the output of Transform, analyzed by Beam as in the pipeline."""
    import tensorflow_transform as tft

    def analyze(directory):
        import apache_beam as beam
        import tensorflow as tf
        import tensorflow_transform.beam as tft_beam
        from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

        from components.transform.preprocessing import preprocessing_fn
        from tests.support import direct_runner

        spec = {
            name: tf.io.FixedLenFeature([1], kind)
            for name, kind in (
                ("title", tf.string),
                ("description", tf.string),
                ("label", tf.int64),
                # Not read by the graph, as in the pipeline.
                ("length_bucket", tf.string),
                ("text_length", tf.int64),
            )
        }
        metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
        instances = [
            {name: [value.encode() if isinstance(value, str) else value] for name, value in row.items()}
            | {"length_bucket": [b"short"], "text_length": [4]}
            for row in rows
        ]
        with beam.Pipeline(argv=direct_runner.options()) as pipeline, tft_beam.Context(temp_dir=str(directory / "tmp")):
            transform_fn = (pipeline | beam.Create(instances), metadata) | tft_beam.AnalyzeDataset(
                lambda inputs: preprocessing_fn(inputs, {"vocabulary_size": 250, "min_count": 1, "max_tokens": 20})
            )
            transform_fn | tft_beam.WriteTransformFn(str(directory / "out"))

    return tft.TFTransformOutput(str(make_once(tmp_path_factory, "transform-output", analyze) / "out"))


@pytest.fixture(scope="session")
def network():
    import keras

    from components.trainer.architectures import build_network
    from components.trainer.shapes import architecture

    keras.utils.set_random_seed(1)
    shape = architecture("stacked_bilstm", embedding_dim=8, units=4)
    return build_network(shape, vocabulary_size=250, classes=4, seed=1, use_cudnn=False)


@pytest.fixture(scope="session")
def export(network, transform_output, tmp_path_factory):
    from components.trainer.export import export_saved_model, write_warmup_requests

    def write(directory):
        export_saved_model(network, transform_output, str(directory / "saved_model"))
        write_warmup_requests(["oil", "goal", "vote"], str(directory / "saved_model"), "agnews", 10)

    return str(make_once(tmp_path_factory, "export", write) / "saved_model")
