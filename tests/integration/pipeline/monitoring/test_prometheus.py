import dataclasses
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.monitoring.prometheus import to_metrics, write_metrics
from pipeline.monitoring.report import LabelledQuality, Proportion
from tests.support import skip_without_tool


@pytest.fixture
def report(watch):
    good, bad = Proportion(100, 90, 0.82, 0.95), Proportion(50, 40, 0.67, 0.89)
    quality = LabelledQuality(good, {"World": good, "Sports": bad}, {"2026-01-06": good}, 0.93, good, 0.5, False, {})
    return dataclasses.replace(watch(hours=31, seed=2, shift="vocabulary", at=30), quality=quality)


def samples(report):
    families = text_string_to_metric_families(to_metrics(report).decode())
    return {
        (sample.name.removeprefix("agnews_monitoring_"), *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_figures_of_the_latest_window_and_the_labels_are_gauges(report):
    found = samples(report)
    latest = report.windows[-1]
    assert found["window_texts", "3", "agnews"] == latest.rows
    assert found["unknown_share", "3", "agnews"] == pytest.approx(latest.unknown_share)
    assert found["class_share", "3", "Sports", "agnews"] == pytest.approx(latest.classes["Sports"])
    assert found["changed", "3", "agnews", "drift", "unknown_share"] == 1
    assert found["changed", "3", "agnews", "confidence", "drift"] == 0
    assert found["labelled_accuracy", "3", "agnews", "all"] == 0.9
    assert found["labelled_accuracy_low", "3", "Sports", "agnews"] == 0.67
    assert found["test_accuracy", "3", "agnews"] == 0.9


def test_without_labels_there_is_no_accuracy(report):
    found = samples(dataclasses.replace(report, quality=None))
    assert not [key for key in found if "accuracy" in key[0]]


def test_promtool_accepts_the_file(report, tmp_path):
    if shutil.which("promtool") is None:
        skip_without_tool("promtool is not installed: apt install prometheus (Debian, Ubuntu), or put it on the PATH")
    write_metrics(report, tmp_path / "agnews.prom")
    with (tmp_path / "agnews.prom").open() as file:
        ended = subprocess.run(["promtool", "check", "metrics"], stdin=file, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    assert (tmp_path / "agnews.prom").stat().st_mode & 0o777 == 0o644
