"""Writes the files of a simulated run that the review site reads."""

import hashlib
import json
import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.model_card.evidence import Share
from components.model_card.predictions import Predictions, write_predictions
from schema.features import CLASS_NAMES, LABEL, LENGTH_BUCKET, LENGTH_BUCKETS, SPLITS, TEST, TEXT_LENGTH

_LENGTHS = tuple(range(100, 1_000, 90))


def write_data_files(directory: Path, generator: random.Random, test_rows: int) -> None:
    """Writes `examples`, `statistics` and `anomalies` to a directory, in the components' formats."""
    for split in SPLITS:
        rows = test_rows if split == TEST else 950
        for name in ("statistics", "anomalies"):
            os.makedirs(directory / name / f"Split-{split}")
        statistics = _statistics(generator, rows)
        (directory / f"statistics/Split-{split}/FeatureStats.pb").write_bytes(statistics.SerializeToString())
        anomalies = anomalies_pb2.Anomalies()
        if split == TEST:
            info = anomalies.anomaly_info[TEXT_LENGTH]
            info.severity = anomalies_pb2.AnomalyInfo.WARNING
            info.reason.add(description="Some texts are <long>.", short_description="Out-of-range values")
        (directory / f"anomalies/Split-{split}/SchemaDiff.pb").write_bytes(anomalies.SerializeToString())
    os.makedirs(directory / f"examples/Split-{TEST}")
    with tf.io.TFRecordWriter(str(directory / f"examples/Split-{TEST}/data-00000-of-00001.gz"), "GZIP") as writer:
        for number in range(test_rows):
            writer.write(_example(number).SerializeToString())


def _example(number: int) -> tf.train.Example:
    texts = {"id": row_id(number), "title": f"Title <{number}>", "description": f"What happened to {number}. " * 8}
    texts |= {LENGTH_BUCKET: _bucket(number)}
    features = {name: tf.train.Feature(bytes_list={"value": [text.encode()]}) for name, text in texts.items()}
    features[LABEL] = tf.train.Feature(int64_list={"value": [number % len(CLASS_NAMES)]})
    return tf.train.Example(features={"feature": features})


def row_id(number: int) -> str:
    """Returns the id of a simulated test row."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def _bucket(number: int) -> str:
    return LENGTH_BUCKETS[number // len(CLASS_NAMES) % len(LENGTH_BUCKETS)]


def _statistics(generator: random.Random, rows: int) -> statistics_pb2.DatasetFeatureStatisticsList:
    found = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = found.datasets.add(num_examples=rows)
    for name, values in ((LABEL, [str(label) for label in range(len(CLASS_NAMES))]), (LENGTH_BUCKET, LENGTH_BUCKETS)):
        feature = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        feature.path.step.append(name)
        common = feature.string_stats.common_stats
        common.num_non_missing = common.tot_num_values = rows
        feature.string_stats.unique = len(values)
        for value in values:
            feature.string_stats.rank_histogram.buckets.add(label=value, sample_count=rows // len(values))
    feature = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.INT)
    feature.path.step.append(TEXT_LENGTH)
    numbers = feature.num_stats
    numbers.common_stats.num_non_missing = rows
    numbers.mean, numbers.std_dev, numbers.min, numbers.median, numbers.max = 236.0, 66.0, 100, 232, 1_000
    histogram = numbers.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    for low in _LENGTHS:
        histogram.buckets.add(low_value=low, high_value=low + 90, sample_count=generator.randint(1, rows))
    return found


def write_card_files(
    directory: Path, generator: random.Random, made: dict[str, int], baseline: int | None, run: int, data: Path
) -> None:
    """Writes the HTML, evidence and predictions of a model card.

    Args:
        directory: directory to create.
        generator: source of the random figures.
        made: ids of the run's artifacts by role.
        baseline: id of the baseline model; None if there is none.
        run: number of the run.
        data: directory of the run's data files.
    """
    os.makedirs(directory)
    [test] = tf.io.gfile.glob(str(data / f"examples/Split-{TEST}/*"))
    rows = sum(1 for _ in tf.data.TFRecordDataset(test, compression_type="GZIP"))
    labels = np.arange(rows) % len(CLASS_NAMES)
    wrong = np.array([generator.random() < 0.09 for _ in range(rows)])
    answers = np.where(wrong, (labels + 1) % len(CLASS_NAMES), labels)
    names = np.array(CLASS_NAMES, object)
    predictions = Predictions(
        np.array([row_id(number) for number in range(rows)], object),
        names[labels],
        np.array([_bucket(number) for number in range(rows)], object),
        names[answers],
        np.array([generator.uniform(0.4, 1.0) for _ in range(rows)], np.float32),
    )
    write_predictions(predictions, str(directory))
    evidence = _evidence(labels, answers, predictions.buckets, made, baseline, run)
    (directory / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
    # Cards contain no scripts; this one tests that the site would not run them.
    page = f"<!doctype html><title>Card</title><body><h1>Card of model {made['model']}</h1>"
    page += "<script>document.title = 'ran'</script>"
    (directory / "model_card.html").write_text(page, encoding="utf-8")


def _evidence(
    labels: np.ndarray, answers: np.ndarray, buckets: np.ndarray, made: dict[str, int], baseline: int | None, run: int
) -> dict[str, Any]:
    """Returns the part of a card's evidence that the site reads."""
    right = labels == answers
    masks = {"all": np.full(len(labels), True)}
    masks |= {f"{LABEL}={name}": labels == label for label, name in enumerate(CLASS_NAMES)}
    masks |= {f"{LENGTH_BUCKET}={name}": buckets == name for name in LENGTH_BUCKETS}
    slices: dict[str, dict[str, Any]] = {
        name: {"rows": int(mask.sum()), "accuracy": _share(right[mask]), "baseline": None}
        for name, mask in masks.items()
    }
    classes = {
        name: {
            "precision": _share(right[answers == label]),
            "recall": _share(right[labels == label]),
            "f1": _share(right[labels == label])["value"],
            "auc": 0.98,
        }
        for label, name in enumerate(CLASS_NAMES)
    }
    split = {"rows": 950, "by_class": dict.fromkeys(CLASS_NAMES, 237), "by_length": dict.fromkeys(LENGTH_BUCKETS, 316)}
    return {
        "model": made["model"],
        "written": "2026-01-02T03:04:05+00:00",
        "export": {"sha256": f"{run:064x}", "files": 12, "bytes": 5_000_000 + run},
        "verdicts": {
            "thresholds": [
                {
                    "slice": "all",
                    "metric": "accuracy",
                    "against_baseline": False,
                    "bound": 0.88,
                    "value": slices["all"]["accuracy"]["value"],
                    "passed": True,
                }
            ],
            "blessed": True,
            "reasons": (),
            "infra_blessed": True,
            "infra_reason": "",
        },
        "quality": {"slices": slices, "classes": classes, "overall": {}, "repeated_accuracy": float(right.mean())},
        "baseline": {"model": baseline} if baseline else {"not_available": "no other blessed model is there"},
        "calibration": {"error": 0.01 + run % 7 / 1000},
        "data": {
            "source": "simulated rows",
            "synthetic": True,
            "spans": [run // 10],
            "rows_read": 1_250 + run // 10,
            "rows_quarantined": run // 10 % 3,
            "quarantined": {},
            "duplicates": 0,
            "train_test_overlap": 0,
            "splits": dict.fromkeys(SPLITS, split),
            "input_fingerprint": f"files:{run // 10}",
            "examples": {"sha256": f"{run // 10:064x}", "files": 3, "bytes": 100_000},
            "preparation": {"val_fraction": 0.05, "max_tokens": 256},
        },
        "vocabulary": {"words": 5_000 + run},
        "training": {
            "architecture": "stacked_bilstm",
            "parameters": 18_000,
            "hyperparameters": {"epochs": 2 + run % 4, "units": 16, "learning_rate": 0.005, "seed": 42},
            "history": {"loss": [0.7, 0.4], "val_accuracy": [0.85, 0.9]},
            "seconds": 60.0,
        },
        "environment": {
            "versions": {"python": "3.11.7", "tensorflow": "2.21.0"},
            "revision": {"commit": f"{run // 20:040x}", "dirty": False},
        },
        "lineage": {"pipeline": "agnews", "run": f"local-{run:06d}", "code": {"trainer": f"{run // 20:016x}"}},
    }


def _share(right: np.ndarray) -> dict[str, float]:
    return asdict(Share.of(int(right.sum()), len(right)))
