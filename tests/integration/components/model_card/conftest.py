"""Fixtures with the artifacts of a small run, as the pipeline writes them, and with their card."""

import os
import shutil
from types import SimpleNamespace

import pytest

from schema.features import CLASS_NAMES, LENGTH_BUCKETS

TEST_ROWS = 80
PREPARATION = {"max_tokens": 20, "min_count": 1}


def make_texts(count, seed):
    """Returns titles and descriptions with names and countries; the tests' vocabulary has some of their words."""
    import random

    generator = random.Random(seed)
    words = [f"{generator.choice('bcdfg')}{generator.choice('aeiou')}{index}" for index in range(300)]
    words += ["Maria", "Kevin", "France", "Iraq", "wonderful", "electricity"] * 6
    return [
        (" ".join(generator.choices(words, k=4)), " ".join(generator.choices(words, k=generator.randint(4, 14))))
        for _ in range(count)
    ]


def test_rows_table():
    texts = make_texts(TEST_ROWS, seed=11)
    return [
        {
            "id": f"row{index}",
            "title": title,
            "description": description,
            "label": index % len(CLASS_NAMES),
            "text_length": len(title) + len(description),
            "length_bucket": LENGTH_BUCKETS[index % len(LENGTH_BUCKETS)],
        }
        for index, (title, description) in enumerate(texts)
    ]


test_rows_table.__test__ = False


def write_records(directory, rows):
    import tensorflow as tf

    def feature(value):
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value if isinstance(value, list) else [value]))

    os.makedirs(directory)
    with tf.io.TFRecordWriter(f"{directory}/data-00000-of-00001.gz", "GZIP") as writer:
        for row in rows:
            features = tf.train.Features(feature={name: feature(value) for name, value in row.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())


def artifact(kind, uri, number, **properties):
    made = kind()
    made.uri, made.id = str(uri), number
    for name, value in properties.items():
        setter = made.set_string_custom_property if isinstance(value, str) else made.set_int_custom_property
        setter(name, value)
    return made


@pytest.fixture(scope="session")
def facts(network):
    """Returns the facts that the Trainer stores in the export."""
    from components.trainer.export import layer_facts

    recipe = {
        "architecture": "stacked_bilstm",
        "embedding_dim": 8,
        "units": 4,
        "word_dropout": None,
        "batch_tokens": 500,
        "seed": 3,
    }
    history = {"loss": [0.9, 0.5, 0.4], "accuracy": [0.5, 0.7, 0.8]}
    history |= {"val_loss": [0.8, 0.6, 0.7], "val_accuracy": [0.6, 0.75, 0.7]}
    return {
        "architecture": "stacked_bilstm",
        "layers": layer_facts(network),
        "recipe": recipe,
        "rows": 40,
        "tokens_per_row": 12.5,
        "steps": 12,
        "parameters": network.count_params(),
        "replicas": 1,
        "cudnn": "not used: there is no GPU",
        "history": history,
        "best_epoch": 2,
        "seconds": 3.25,
        "calibration": {"temperature": 1.5, "ece_before": 0.2, "ece_after": 0.1},
    }


@pytest.fixture(scope="session")
def run(export, transform_output, facts, tmp_path_factory):
    """Returns the artifacts of a run by role, and the rows that they were made from."""
    import pandas as pd
    import tensorflow_data_validation as tfdv
    import tensorflow_model_analysis as tfma
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_model_analysis.utils import config_util
    from tfx.types import artifact_utils, standard_artifacts

    from components.evaluator.config import eval_config
    from components.evaluator.must_pass import RequiredAnswer, write_answers
    from components.trainer.export import write_facts
    from schema.data_set import AG_NEWS
    from schema.features import load_schema
    from tests.support import direct_runner

    root = tmp_path_factory.mktemp("run")
    rows = test_rows_table()
    for split in ("train", "val", "test"):
        write_records(root / f"examples/Split-{split}", rows)
        options = tfdv.StatsOptions(schema=load_schema())
        statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame(rows), options)
        os.makedirs(root / f"statistics/Split-{split}")
        tfdv.write_stats_text(statistics, str(root / "stats.txt"))
        (root / f"statistics/Split-{split}/FeatureStats.pb").write_bytes(statistics.SerializeToString())
    ids = [
        {"token_ids": [2, 3, 1, 1], "title_tokens": 2, "label": 0},
        {"token_ids": [4] * 6, "title_tokens": 2, "label": 1},
    ]
    write_records(root / "transformed/Split-train", ids)
    write_records(root / "transformed/Split-val", ids[1:])
    shutil.copytree(export, root / "model/Format-Serving")
    write_facts(facts, str(root / "model/Format-Serving"))

    thresholds = {"min_accuracy": 0.0, "min_label_recall": 0.99, "max_accuracy_drop": 0.1, "max_label_recall_drop": 0.1}
    config = config_util.update_eval_config_with_defaults(
        eval_config(AG_NEWS, **thresholds), has_baseline=False, rubber_stamp=True
    )
    tfma.run_model_analysis(
        eval_config=config,
        eval_shared_model=tfma.default_eval_shared_model(str(root / "model/Format-Serving"), eval_config=config),
        data_location=str(root / "examples/Split-test/*"),
        file_format="tfrecords",
        output_path=str(root / "evaluation"),
        pipeline_options=PipelineOptions(direct_runner.options()),
    )
    answers = [("Late goal", "", "Sports", "Sports", 0.9), ("Oil <up>", "Prices rise", "Business", "World", 0.5)]
    write_answers([RequiredAnswer(*answer) for answer in answers], str(root / "evaluation"))
    counts = {"rows_read": 83, "rows_quarantined": 3, "quarantined_bad_utf8": 3, "quarantined_too_long": 0}
    counts |= {"duplicates": 2, "train_test_overlap": 1, "span": 4, "synthetic": 1}
    texts = {
        "source": "rows <b>of</b> a test",
        "input_fingerprint": "split:train,x\nsplit:test,y",
        "quarantine_uri": "q",
    }
    kinds = standard_artifacts
    examples = artifact(kinds.Examples, root / "examples", 1, **counts, **texts)
    statistics = artifact(kinds.ExampleStatistics, root / "statistics", 2)
    transformed = artifact(kinds.Examples, root / "transformed", 3)
    for made, splits in ((examples, 3), (statistics, 3), (transformed, 2)):
        made.split_names = artifact_utils.encode_split_names(["train", "val", "test"][:splits])
    transform_graph = os.path.dirname(transform_output.transform_savedmodel_dir)
    inputs = {
        "examples": examples,
        "statistics": statistics,
        "transformed_examples": transformed,
        "transform_graph": artifact(kinds.TransformGraph, transform_graph, 4),
        "model": artifact(kinds.Model, root / "model", 5),
        "evaluation": artifact(kinds.ModelEvaluation, root / "evaluation", 6),
        "blessing": artifact(kinds.ModelBlessing, root / "blessing", 7, blessed=0),
        "infra_blessing": artifact(kinds.InfraBlessing, root / "infra", 8, blessed=0, reason="too slow"),
    }
    return SimpleNamespace(inputs={role: [made] for role, made in inputs.items()}, rows=rows, root=root)


@pytest.fixture(scope="session")
def make(run):
    """Makes a card and its predictions from the run's inputs, after applying `changes`."""

    def make(**changes):
        from components.model_card.card import make_card
        from components.model_card.lineage import trace
        from components.model_card.owner import OWNER_FILE, read_owner_statements
        from schema.data_set import AG_NEWS

        inputs = run.inputs | changes
        return make_card(
            inputs,
            AG_NEWS,
            read_owner_statements(OWNER_FILE),
            trace("agnews", "run-1", inputs, {"trainer": "abc"}),
            preparation=PREPARATION,
            robustness_rows=30,
            robustness_seed=1,
            errors_shown=5,
            written="2026-01-02T03:04:05+00:00",
        )

    return make


@pytest.fixture(scope="session")
def made(make):
    return make()


@pytest.fixture(scope="session")
def card(made):
    return made[0]


@pytest.fixture(scope="session")
def predictions(made):
    return made[1]


@pytest.fixture(scope="session")
def written(card, tmp_path_factory):
    """Returns the directory that the card was written to."""
    from components.model_card.render import write_card

    directory = tmp_path_factory.mktemp("card")
    write_card(card, str(directory))
    return directory
