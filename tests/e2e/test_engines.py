"""Beam's engines against the direct runner: the same files in must give the same artifacts, to the last bit.

What is not compared bit for bit are sums of floating-point numbers, whose terms each engine adds in its own order: mean
and standard deviation, the loss, the calibration, the probabilities of batch scoring. They agree to five digits or
more.
The quantiles of the statistics are approximate by nature; they come out the same here, and that is asserted as well.
"""

import csv
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.sandbox import PipelineSandbox

TIMEOUT = 1800
pytestmark = pytest.mark.timeout(2 * TIMEOUT)
REAL = os.path.abspath(os.environ.get("AG_NEWS_DIR", ""))
# Any model will do.
QUICK = ("trainer.epochs=1",)
ENGINES = {
    "flink": ("beam.runner=flink",),
    "flink-cluster": ("beam.runner=flink", "beam.workers=2", "beam.master=localhost:{port}"),
    "spark": ("beam.runner=spark",),
}


class Outcome:
    """What a run and a batch scoring on one engine left."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def only(self, pattern):
        [path] = self.directory.glob(f"runs/agnews/{pattern}")
        return path

    def examples(self, pattern):
        import tensorflow as tf

        files = [str(file) for file in self.directory.glob(f"runs/agnews/{pattern}/*.gz")]
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        # A map's entries are written in any order.
        return sorted(tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in records)

    def statistics(self, split):
        import tensorflow_data_validation as tfdv

        statistics = tfdv.load_stats_binary(str(self.only(f"StatisticsGen/statistics/*/Split-{split}/FeatureStats.pb")))
        [dataset] = statistics.datasets
        features = sorted(dataset.features, key=lambda feature: feature.path.step[0])
        sums = {}
        for feature in features:
            # To touch the numbers of a feature that has none would remove its other statistics.
            if feature.HasField("num_stats"):
                numbers = feature.num_stats
                sums[feature.path.step[0]] = [numbers.mean, numbers.std_dev]
                numbers.mean = numbers.std_dev = 0.0
        return dataset.num_examples, features, sums

    @property
    def vocabulary(self):
        return self.only("Transform/transform_graph/*/transform_fn/assets/vocabulary").read_bytes()

    @property
    def evaluation(self):
        from components.evaluator.report import read_report

        return read_report(str(self.only("Evaluator/evaluation/*")))

    @property
    def predictions(self):
        lines = [line for file in self.directory.glob("scored/predictions-*") for line in file.open(encoding="utf-8")]
        return sorted(map(json.loads, lines), key=lambda line: line["row"])


def produce(directory, data, engine_settings, model=None):
    """Runs the pipeline, then scores its test rows with `model`, or with what it trained, pushed or not."""
    workplace = PipelineSandbox(directory)
    os.symlink(data, directory / "data")
    flags = [word for setting in (*QUICK, *engine_settings) for word in ("--set", setting)]
    ended = workplace.run(*flags, timeout=TIMEOUT)
    assert ended.status == 0
    with open(directory / "data/test.csv", newline="", encoding="utf-8") as file:
        rows = [(title, text) for _, title, text in csv.reader(file)]
    with open(directory / "items.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("title", "description"), *rows])
    model = model or str(Outcome(directory).only("Trainer/model/*/Format-Serving"))
    engine_flags = [word for setting in engine_settings for word in ("--set", setting)]
    batch = ["batch", "items.csv", "--to", "scored", "--model", model, *engine_flags]
    command = [sys.executable, "-m", "pipeline", *batch]
    subprocess.run(command, cwd=directory, env=workplace.environment, check=True, timeout=TIMEOUT)
    return Outcome(directory), model


@pytest.fixture(scope="module", params=["synthetic", pytest.param("real", marks=pytest.mark.real)])
def data(request, tmp_path_factory):
    if request.param == "real":
        return REAL
    directory = tmp_path_factory.mktemp("synthetic")
    PipelineSandbox(directory).make_data("data", rows=400)
    return directory / "data"


@pytest.fixture(scope="module")
def direct(data, tmp_path_factory):
    return produce(tmp_path_factory.mktemp("direct"), data, ())


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("flink", marks=pytest.mark.flink),
        pytest.param("flink-cluster", marks=pytest.mark.flink),
        pytest.param("spark", marks=pytest.mark.spark),
    ],
)
def outcomes(request, data, direct, tmp_path_factory):
    """The direct runner's outcome, and the engine's."""
    expected, model = direct
    directory = tmp_path_factory.mktemp(request.param)
    if request.param != "flink-cluster":
        return expected, produce(directory, data, ENGINES[request.param], model)[0]
    port = free_port()
    cluster = subprocess.Popen([f"{ROOT}/scripts/flink_cluster.sh", str(port)], start_new_session=True)
    try:
        wait_for_task_managers(port, 2)
        settings = tuple(setting.format(port=port) for setting in ENGINES[request.param])
        return expected, produce(directory, data, settings, model)[0]
    finally:
        cluster.send_signal(signal.SIGTERM)
        cluster.wait(60)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_task_managers(port, count):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/overview", timeout=5) as answer:
                if json.load(answer)["slots-total"] == count:
                    return
        except OSError:
            pass
        time.sleep(0.5)
    pytest.fail(f"no {count} task managers after two minutes")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_same_examples_are_ingested(outcomes, split):
    expected, found = (outcome.examples(f"AgNewsExampleGen/examples/*/Split-{split}") for outcome in outcomes)
    assert len(expected) > 0
    assert found == expected


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_statistics_are_equal(outcomes, split):
    (expected_rows, expected, expected_sums), (rows, found, sums) = (outcome.statistics(split) for outcome in outcomes)
    assert rows == expected_rows > 0
    assert {feature.WhichOneof("stats") for feature in expected} == {"num_stats", "string_stats"}
    assert found == expected
    assert sums.keys() == expected_sums.keys()
    for name, values in expected_sums.items():
        assert sums[name] == pytest.approx(values, rel=1e-9)


def test_the_vocabulary_is_equal_to_the_byte(outcomes):
    expected, found = (outcome.vocabulary for outcome in outcomes)
    assert len(expected) > 0
    assert found == expected


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_same_token_ids_are_trained_on(outcomes, split):
    expected, found = (outcome.examples(f"Transform/transformed_examples/*/Split-{split}") for outcome in outcomes)
    assert len(expected) > 0
    assert found == expected


def test_the_metrics_are_equal(outcomes):
    expected, found = (outcome.evaluation for outcome in outcomes)
    assert found.confusion == expected.confusion
    assert found.metrics.keys() == expected.metrics.keys()
    for name, values in expected.metrics.items():
        for metric, value in values.items():
            other = found.metrics[name][metric]
            assert other == (pytest.approx(value, rel=1e-6, nan_ok=True) if metric == "loss" else same(value)), metric


def same(value):
    return pytest.approx(value, nan_ok=True) if math.isnan(value) else value


def test_batch_scoring_gives_the_same_answers(outcomes):
    expected, found = (outcome.predictions for outcome in outcomes)
    assert len(expected) > 0
    assert [(line["row"], line["label"]) for line in found] == [(line["row"], line["label"]) for line in expected]
    for line, other in zip(expected, found, strict=True):
        assert other["probabilities"] == pytest.approx(line["probabilities"], abs=1e-5)


@pytest.mark.flink
@pytest.mark.parametrize("taken", [0, 1])
def test_a_cluster_does_not_start_where_one_of_its_ports_is_taken(taken):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [f"{ROOT}/scripts/flink_cluster.sh", str(port - taken)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == f"port {port} is taken: scripts/flink_cluster.sh PORT takes another one, and the next after it\n"
    )
