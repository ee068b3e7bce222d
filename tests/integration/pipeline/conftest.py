"""A tiny model that the Trainer's code trained and exported, records of its run, and empty metadata stores."""

from pathlib import Path

import pytest

from tests.support.shared_files import make_once
from tests.support.texts import TEXTS


@pytest.fixture(scope="session")
def transform_output(tmp_path_factory):
    """The output of Transform, analyzed by Beam as in the pipeline."""
    import tensorflow_transform as tft

    return tft.TFTransformOutput(str(make_once(tmp_path_factory, "small-transform-output", _analyze) / "out"))


@pytest.fixture(scope="session")
def tiny_settings():
    """Trainer settings of a network that is trained in seconds."""
    from pipeline.settings import TrainerSettings

    sizes = {"architecture": "lstm", "embedding_dim": 8, "units": 4}
    # Without perturbed copies, which need a second compilation.
    sizes |= {"consistency": 0.0, "perturbation": 0.0}
    return TrainerSettings(**sizes, epochs=2, batch_tokens=200, bucket_boundaries=(), word_vectors="random")


@pytest.fixture(scope="session")
def exported(transform_output, tiny_settings, tmp_path_factory):
    """Directory of the SavedModel."""

    def train(directory):
        from tfx.components.trainer.fn_args_utils import FnArgs

        from components.trainer.run_fn import run_fn
        from pipeline.code_version import code_version

        for split, repeats in (("train", 20), ("val", 4)):
            (directory / f"Split-{split}").mkdir()
            _write_transformed(transform_output, repeats, directory / f"Split-{split}/rows.gz")
        checkpoints = str(directory / "checkpoints")
        stage = {"model_name": "agnews", "checkpoint_root": checkpoints, "code": code_version("trainer")}
        run_fn(
            FnArgs(
                train_files=[str(directory / "Split-train/*")],
                eval_files=[str(directory / "Split-val/*")],
                transform_output=str(Path(transform_output.transform_savedmodel_dir).parent),
                serving_model_dir=str(directory / "Format-Serving"),
                model_run_dir=str(directory / "logs"),
                custom_config=tiny_settings.model_dump(mode="json") | stage,
            )
        )

    return make_once(tmp_path_factory, "small-model", train) / "Format-Serving"


@pytest.fixture
def recorded(exported, transform_output, tiny_settings, tmp_path):
    """The records of a run that trained `exported`, in a separate root whose files a test may change.

    Attributes: `settings`, `store` (a function that opens the store to read it), `model_id`, and the directories
    `model`, `examples` and `transformed`.
    """
    from tests.support.recorded_run import record

    return record(exported, transform_output, tiny_settings, TEXTS, tmp_path / "place")


def _write_transformed(transform_output, repeats, path):
    import tensorflow as tf

    titles, descriptions = zip(*TEXTS, strict=True)
    layer = transform_output.transform_features_layer()
    transformed = layer({"title": tf.constant(titles)[:, None], "description": tf.constant(descriptions)[:, None]})
    token_ids = tf.RaggedTensor.from_sparse(transformed["token_ids"]).to_list()
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for label, ids in enumerate(token_ids):
            numbers = {"token_ids": ids, "title_tokens": [int(transformed["title_tokens"][label])], "label": [label]}
            feature = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=values)) for name, values in numbers.items()
            }
            record = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
            for _ in range(repeats):
                writer.write(record)


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request, tmp_path):
    """An empty metadata store: an embedded one, and one on a real PostgreSQL server if that is installed."""
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    if request.param == "sqlite":
        config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    server = request.getfixturevalue("postgresql")
    name = f"test{abs(hash(tmp_path))}"
    server.create_database(name)
    config.postgresql.host = "127.0.0.1"
    config.postgresql.port = str(server.port)
    config.postgresql.dbname = name
    config.postgresql.user = "agnews"
    config.postgresql.password = server.password
    return config


@pytest.fixture
def evaluation(tmp_path):
    """An evaluation of a candidate and a baseline: accuracy over all rows, of a slice and of a class."""
    import tensorflow as tf
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2

    def add(message, value, **key):
        message.metric_keys_and_values.add(key={"name": "accuracy", **key}, value={"double_value": {"value": value}})

    overall, sliced = metrics_for_slice_pb2.MetricsForSlice(), metrics_for_slice_pb2.MetricsForSlice()
    add(overall, 0.875, model_name="candidate")
    add(overall, 0.5, model_name="baseline")
    add(overall, 0.375, model_name="candidate", is_diff=True)
    add(overall, 0.25, model_name="candidate", sub_key={"class_id": {"value": 1}})
    sliced.slice_key.single_slice_keys.add(column="label", int64_value=1)
    add(sliced, 0.75, model_name="candidate")
    directory = tmp_path / "evaluation"
    directory.mkdir()
    with tf.io.TFRecordWriter(str(directory / "metrics-00000-of-00001.tfrecord")) as writer:
        for message in (sliced, overall):
            writer.write(message.SerializeToString())
    return directory


def _analyze(directory):
    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    from components.transform.preprocessing import preprocessing_fn
    from tests.support import direct_runner

    kinds = {"title": tf.string, "description": tf.string, "label": tf.int64}
    spec = {name: tf.io.FixedLenFeature([1], kind) for name, kind in kinds.items()}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    rows = [
        {"title": [title.encode()], "description": [description.encode()], "label": [label]}
        for label, (title, description) in enumerate(TEXTS)
    ]
    with beam.Pipeline(argv=direct_runner.options()) as pipeline, tft_beam.Context(temp_dir=str(directory / "tmp")):
        transform_fn = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, {"vocabulary_size": 100, "min_count": 1, "max_tokens": 20})
        )
        transform_fn | tft_beam.WriteTransformFn(str(directory / "out"))
