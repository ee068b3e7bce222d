"""`agnews alert`, which orchestrators call; tests/integration has the plan and the components."""

import json

from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import RunError


def test_an_alert_of_an_orchestrator_reaches_the_webhook(http_sink):
    with http_sink() as sink:
        webhook = ("--set", f"alerts.webhook_url={sink.url}")
        ended = CliRunner().invoke(cli, ["alert", "late", "day-1", "not finished", *webhook])
        assert ended.exit_code == 0, ended.output
        [text] = [json.loads(body)["text"] for body in sink.bodies]
    assert text.splitlines() == ["agnews: a model is late (day-1)", "not finished", "log: unknown"]


def test_an_alert_that_cannot_be_sent_is_an_error(http_sink):
    with http_sink(404) as sink:
        webhook = ("--set", f"alerts.webhook_url={sink.url}")
        ended = CliRunner().invoke(cli, ["alert", "late", "day-1", "not finished", *webhook])
    assert isinstance(ended.exception, RunError)
    assert "webhook: the server answered 404" in str(ended.exception)


def test_an_unknown_kind_of_alert_is_refused():
    ended = CliRunner().invoke(cli, ["alert", "later", "day-1", "not finished"])
    assert ended.exit_code == 2
    assert "'later' is not one of 'failed'" in ended.output
