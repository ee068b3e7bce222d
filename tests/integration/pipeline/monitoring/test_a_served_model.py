"""Monitoring of a trained model that is served by a real server with request logging."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.monitoring.monitor import monitor
from schema.errors import DataError, MonitoringAlert, SettingsError
from schema.features import CLASS_NAMES
from serving.client import Client, NewsItem
from serving.server import Flags, ModelServer
from tests.support.simulated_traffic import NOW
from tests.support.texts import TEXTS


@pytest.fixture
def served(recorded, tmp_path):
    """Pushes the recorded model; returns a function that sends texts to a server that logs them."""
    version = tmp_path / "place/serving/agnews/1795578266"
    shutil.copytree(recorded.model, version)
    (version / "assets.extra/mlmd_uuid").write_text(str(recorded.model_id))
    config = tmp_path / "models.config"
    config.write_text(
        f"""model_config_list {{ config {{ name: "agnews" base_path: "{version.parent}" model_platform: "tensorflow"
        logging_config {{
          log_collector_config {{ type: "tfrecord_features" filename_prefix: "{tmp_path}/logs/agnews" }}
          sampling_config {{ sampling_rate: 1 }} }} }} }}"""
    )

    def send(texts):
        with (
            ModelServer(Flags(port=0, model_config_file=str(config))) as server,
            Client(f"127.0.0.1:{server.grpc_port}") as client,
        ):
            for title, description in texts:
                client.classify([NewsItem(title, description)])

    return send


def test_only_different_traffic_is_reported_as_skew_and_alerted_once(
    recorded, served, tmp_path, monkeypatch, http_sink
):
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", recorded.settings.pipeline.root)
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", recorded.settings.pusher.destination)
    served(TEXTS * 30)
    ended = CliRunner().invoke(cli, ["monitor", str(tmp_path / "logs")])
    assert ended.exit_code == 0, ended.output
    nowhere = f"monitoring.directory={recorded.model}/saved_model.pb"
    refused = CliRunner().invoke(cli, ["monitor", str(tmp_path / "logs"), "--set", nowhere])
    assert isinstance(refused.exception, SettingsError)
    assert "saved_model.pb/agnews: Not a directory" in str(refused.exception)
    report = monitor(recorded.settings, [tmp_path / "logs"], recorded.store(), version=None, now=NOW)
    assert (report.version, report.model_id, report.rows) == (1795578266, recorded.model_id, 120)
    assert {(one.signal, one.against, one.reference_rows) for one in report.skew} == {
        ("text_length", "training rows", 200),
        ("label", "its predictions for test rows", 200),
        ("confidence", "its predictions for test rows", 200),
        ("unknown_share", "its predictions for test rows", 200),
    }
    assert {one.distance for one in report.skew if one.signal != "text_length"} == {0.0}
    assert report.notes == ()
    assert report.alerts == ()

    served([("unheard words " * 9, "of things that nobody knows")] * 100)
    with http_sink() as sink:
        command = ["monitor", str(tmp_path / "logs"), "--set", f"alerts.webhook_url={sink.url}"]
        ended = CliRunner().invoke(cli, command)
        again = CliRunner().invoke(cli, command)
    assert isinstance(ended.exception, MonitoringAlert)
    assert ended.exception.exit_code == 11
    assert "skew of unknown words" in str(ended.exception)
    assert "already reported" not in str(ended.exception)
    [message] = [json.loads(body)["text"].splitlines() for body in sink.bodies]
    assert message[0] == "agnews: the requests or predictions of a served model changed (version 1795578266)"
    assert any(
        re.match(r"skew of unknown words over the whole log: [\d.]+ % of the words, [\d.]+ % in test rows; ", line)
        for line in message
    )
    [report] = re.findall(r"^report: (.*)$", ended.output, re.MULTILINE)
    assert message[-1] == f"report: {report}"
    assert str(tmp_path / "place/runs/monitoring/agnews/1795578266/20") in report
    assert Path(report).exists()
    assert "skew of unknown words over the whole log" in str(again.exception)
    assert "(already reported)" in str(again.exception)


def test_an_alert_that_cannot_be_sent_is_reported(recorded, served, tmp_path, monkeypatch, http_sink):
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", recorded.settings.pipeline.root)
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", recorded.settings.pusher.destination)
    served([("unheard words " * 9, "of things that nobody knows")] * 60)
    with http_sink(404) as sink:
        command = ["monitor", str(tmp_path / "logs"), "--set", f"alerts.webhook_url={sink.url}"]
        ended = CliRunner().invoke(cli, command)
    assert isinstance(ended.exception, MonitoringAlert)
    assert "the alert could not be sent by webhook: the server answered 404 Not Found" in ended.output
    assert "secret-part" not in ended.output + str(ended.exception)


def test_a_version_without_predictions_is_rejected(recorded, served, tmp_path):
    served(TEXTS[:1])
    with pytest.raises(DataError, match="no prediction of version 5 of agnews, only of: 1795578266"):
        monitor(recorded.settings, [tmp_path / "logs"], None, version=5, now=NOW)


def test_missing_test_rows_are_noted_and_the_rest_is_compared(recorded, served, tmp_path):
    served(TEXTS * 6)
    shutil.rmtree(recorded.examples)
    report = monitor(recorded.settings, [tmp_path / "logs"], recorded.store(), version=None, now=NOW)
    assert [(one.signal, one.against) for one in report.skew] == [
        ("label", "training rows"),
        ("text_length", "training rows"),
    ]
    assert report.notes == (f"the test rows are no longer at {recorded.examples}",)


@pytest.mark.parametrize("shifted", [False, True])
def test_files_are_compared_before_they_are_scored(recorded, served, tmp_path, monkeypatch, shifted):
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", recorded.settings.pipeline.root)
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", recorded.settings.pusher.destination)
    texts = [("unheard words " * 9, "of things that nobody knows")] * 100 if shifted else TEXTS * 30
    lines = [json.dumps({"title": title, "description": description}) for title, description in texts]
    (tmp_path / "news-1.jsonl").write_text("\n".join([*lines, '{"title": 5}']))
    ended = CliRunner().invoke(cli, ["monitor", "--items", str(tmp_path / "news-*.jsonl")])
    assert f"version 1795578266: {len(texts)} texts" in ended.output
    assert "left out: 1 × bad row" in ended.output
    if shifted:
        assert isinstance(ended.exception, MonitoringAlert)
        assert "skew of unknown words" in str(ended.exception)
    else:
        assert ended.exit_code == 0, ended.output


def test_of_a_large_file_the_same_random_rows_are_compared(recorded, served, tmp_path):
    few = recorded.settings.monitoring.model_copy(update={"reference_rows": 10})
    settings = recorded.settings.model_copy(update={"monitoring": few})
    file = tmp_path / "news.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"{number} {TEXTS[number % 4][0]}"}) for number in range(200)))
    first, again = (monitor(settings, [file], None, version=None, now=NOW, items=True) for _ in "12")
    assert first.rows == 10
    assert first == again


def test_files_cannot_be_compared_without_a_version_that_loads(recorded, tmp_path):
    (tmp_path / "news.jsonl").write_text('{"text": "a"}')
    with pytest.raises(DataError, match="has no version of the model that can be loaded"):
        monitor(recorded.settings, [tmp_path / "news.jsonl"], None, version=None, now=NOW, items=True)


def test_labels_that_come_later_measure_the_quality(recorded, served, tmp_path, monkeypatch, http_sink):
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", recorded.settings.pipeline.root)
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", recorded.settings.pusher.destination)
    run = CliRunner().invoke
    texts = [(f"{title} {number}", description) for number in range(8) for title, description in TEXTS]
    served(texts)
    with (tmp_path / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("title", "description"), *texts])
    chosen = run(
        cli, ["labels", "next", str(tmp_path / "items.csv"), "--to", str(tmp_path / "next.csv"), "--rows", "30"]
    )
    assert chosen.exit_code == 0, chosen.output
    with (tmp_path / "next.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    # A person disagrees with every answer, and has not reached the last two items.
    others = {name: CLASS_NAMES[number - 1] for number, name in enumerate(CLASS_NAMES)}
    with (tmp_path / "next.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"label": others[row["predicted"]]} for row in rows[:28])
        writer.writerows(rows[28:])
    added = run(cli, ["labels", "add", str(tmp_path / "next.csv"), "--by", "ann"])
    again = run(cli, ["labels", "next", str(tmp_path / "items.csv"), "--to", str(tmp_path / "next.csv")])
    assert str(again.exception).endswith("exists, and people may have filled it in; name a new file")
    assert "added 28 labels; 2 rows without a label" in added.output
    (tmp_path / "other.csv").write_text("text,label\nnever seen,World\n")
    assert run(cli, ["labels", "add", str(tmp_path / "other.csv"), "--by", "ann"]).exit_code == 0
    with http_sink() as sink:
        command = ["monitor", str(tmp_path / "logs"), "--prometheus", str(tmp_path / "agnews.prom")]
        ended = run(cli, [*command, "--set", f"alerts.webhook_url={sink.url}"])
    assert isinstance(ended.exception, MonitoringAlert)
    assert "labels: 28 labelled items, accuracy 0.000 (0.000 to 0.121), on test rows" in ended.output
    assert "the log does not contain the items of 1 of 29 labels" in ended.output
    [body] = sink.bodies
    assert "the accuracy on labelled items is lower than on test rows over the whole log" in json.loads(body)["text"]
    assert (
        'labelled_accuracy{class="all",model="agnews",version="1795578266"} 0.0'
        in (tmp_path / "agnews.prom").read_text()
    )
    [report] = re.findall(r"^report: (.*)$", ended.output, re.MULTILINE)
    assert "28 logged items with a label: <strong>accuracy 0.000" in Path(report).read_text()
