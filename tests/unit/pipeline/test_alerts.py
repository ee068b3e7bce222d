import json
import logging
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tenacity

from pipeline.alerts import Event, Kind, notify
from pipeline.settings import Settings
from pipeline.settings.sources import load
from schema.errors import ApprovalPending, DataError, DriftError

EVENT = Event(Kind.DRIFT, "local-1", "split train, feature label: drifted\nNext: look at it", "/runs/logs/local-1.log")


def settings(**alerts):
    return Settings.model_validate({"alerts": alerts})


@pytest.fixture
def smtp():
    """Starts a local SMTP server that records messages; with `login` it requires user `user` and `password`."""
    from email import message_from_bytes, policy

    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    messages, running = [], []

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            messages.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    class OnAnyPort(Controller):
        def _trigger_server(self):
            # The controller connects to itself to check that it is up, which is not possible with port 0.
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    def authenticate(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"user", b"password"), handled=False)

    def start(*, login=False):
        options = {"authenticator": authenticate, "auth_require_tls": False, "auth_required": True} if login else {}
        controller = OnAnyPort(Handler(), hostname="127.0.0.1", port=0, **options)
        controller.start()
        running.append(controller)
        return SimpleNamespace(messages=messages, settings={**MAIL, "smtp_port": controller.port})

    yield start
    for controller in running:
        controller.stop()


MAIL = {"smtp_host": "127.0.0.1", "smtp_security": "none", "mail_from": "a@example.com", "mail_to": ["b@example.com"]}


def test_a_webhook_receives_slack_json(http_sink):
    with http_sink() as sink:
        assert notify(settings(webhook_url=sink.url), EVENT) == []
    [body] = sink.bodies
    lines = json.loads(body)["text"].splitlines()
    assert lines[0] == "agnews: the data drifted and was rejected (local-1)"
    assert lines[1:] == [*EVENT.message.splitlines(), "log: /runs/logs/local-1.log"]


@pytest.mark.parametrize("address", ["https://review.example.com", "https://review.example.com/"])
def test_an_alert_about_a_model_links_to_its_page_and_card(http_sink, address):
    with http_sink() as sink:
        assert notify(settings(webhook_url=sink.url, review_url=address), replace(EVENT, model_id=7)) == []
    lines = json.loads(sink.bodies[0])["text"].splitlines()
    assert lines[-2:] == [
        "model: https://review.example.com/models/7",
        "card: https://review.example.com/models/7/card",
    ]


def test_the_webhook_url_can_be_read_from_a_file(http_sink, tmp_path):
    with http_sink() as sink:
        (tmp_path / "webhook").write_text(f"{sink.url}\n")
        assert notify(settings(webhook_url_file=tmp_path / "webhook"), EVENT) == []
    assert len(sink.bodies) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_retried(http_sink, status):
    with http_sink(status) as sink:
        assert notify(settings(webhook_url=sink.url), EVENT) == []
    assert len(sink.bodies) == 2


def test_a_refusal_is_not_retried_but_returned_and_logged(http_sink, caplog):
    with http_sink(404) as sink, caplog.at_level(logging.INFO):
        problems = notify(settings(webhook_url=sink.url), EVENT)
    assert problems == ["the alert could not be sent by webhook: the server answered 404 Not Found"]
    assert problems[0] in caplog.text
    assert len(sink.bodies) == 1


def test_retries_are_limited(http_sink):
    with http_sink(*[503] * 9) as sink:
        [problem] = notify(settings(webhook_url=sink.url), EVENT)
    assert "503" in problem
    assert len(sink.bodies) == 3


@pytest.mark.parametrize("answer", [200, 404, 503])
def test_the_webhook_url_is_never_logged_or_returned(http_sink, caplog, answer):
    with http_sink(*[answer] * 3) as sink, caplog.at_level(logging.DEBUG):
        problems = notify(settings(webhook_url=sink.url), EVENT)
    assert "secret-part" not in caplog.text + "".join(problems)


@pytest.mark.parametrize(
    "alerts",
    [
        {"webhook_url": "not a URL"},
        {"webhook_url_file": "gone"},
        {**MAIL, "smtp_port": 9},
        {**MAIL, "mail_from": "a\nSubject: another"},
    ],
    ids=["not a URL", "missing file", "no mail server", "a header within a header"],
)
def test_notify_never_raises(alerts):
    [problem] = notify(settings(**alerts), EVENT)
    assert "could not be sent" in problem


def test_an_e_mail_is_sent_to_all_recipients(smtp):
    server = smtp()
    assert notify(settings(**server.settings | {"mail_to": ["b@example.com", "c@example.com"]}), EVENT) == []
    [message] = server.messages
    assert message["Subject"] == "agnews: the data drifted and was rejected (local-1)"
    assert (message["From"], message["To"]) == ("a@example.com", "b@example.com, c@example.com")
    assert EVENT.message.splitlines()[0] in message.get_content()


def test_the_smtp_password_can_be_read_from_a_file(smtp, tmp_path):
    server = smtp(login=True)
    (tmp_path / "password").write_text("password\n")
    login = {"smtp_user": "user", "smtp_password_file": tmp_path / "password"}
    assert notify(settings(**server.settings | login), EVENT) == []
    assert len(server.messages) == 1


def test_a_wrong_password_is_not_shown(smtp):
    login = {"smtp_user": "user", "smtp_password": "wrong"}
    [problem] = notify(settings(**smtp(login=True).settings | login), EVENT)
    assert "535" in problem
    assert "wrong" not in problem


def test_mail_is_not_sent_unencrypted_if_starttls_is_required(smtp):
    server = smtp()
    [problem] = notify(settings(**server.settings | {"smtp_security": "starttls"}), EVENT)
    assert "STARTTLS" in problem
    assert server.messages == []


def test_a_failing_channel_does_not_stop_the_other(smtp, http_sink):
    server = smtp()
    with http_sink(404) as sink:
        problems = notify(settings(webhook_url=sink.url, **server.settings), EVENT)
    assert len(problems) == len(server.messages) == 1


def test_events_that_are_not_enabled_are_not_sent(http_sink, caplog):
    with http_sink() as sink, caplog.at_level(logging.INFO):
        assert notify(settings(webhook_url=sink.url, events=["failed"]), EVENT) == []
    assert sink.bodies == []
    assert caplog.text == ""


def test_without_a_channel_the_alert_is_only_logged(caplog):
    assert notify(settings(), EVENT) == []
    assert [record.fields["kind"] for record in caplog.records] == ["drift"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(DriftError("x"), Kind.DRIFT), (ApprovalPending("x"), Kind.WAITING), (DataError("x"), Kind.FAILED)],
)
def test_an_error_determines_the_event_kind(error, kind):
    assert Event.of_error(error, "local-1", "log") == Event(kind, "local-1", "x", "log")


def test_all_kinds_are_enabled_by_default():
    assert list(settings().alerts.events) == [kind.value for kind in Kind]


def test_alerts_do_not_import_tensorflow():
    code = "import sys, pipeline.alerts; sys.exit(bool({'tensorflow', 'tfx', 'ml_metadata'} & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-c", code], timeout=60, env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )


def test_events_can_be_set_in_a_settings_file(tmp_path):
    # The setting is not called "on", because YAML reads that as true.
    (tmp_path / "settings.yaml").write_text("alerts:\n  events: [drift]\n  mail_to: [a@example.com, b@example.com]\n")
    alerts = load(config_file=tmp_path / "settings.yaml", environ={}).settings.alerts
    assert (alerts.events, alerts.mail_to) == (("drift",), ("a@example.com", "b@example.com"))


def test_a_webhook_on_this_machine_is_reached_without_the_proxy(dead_proxy, http_sink):
    with http_sink() as sink:
        assert notify(settings(webhook_url=sink.url), EVENT) == []
    assert len(sink.bodies) == 1


def test_a_webhook_elsewhere_goes_through_the_proxy(dead_proxy, monkeypatch):
    monkeypatch.setattr("pipeline.alerts._post.retry.stop", tenacity.stop_after_attempt(1))
    [problem] = notify(settings(webhook_url="http://hooks.example.com/"), EVENT)
    assert "Connection refused" in problem


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.com:sec-ret/path",
        "http://hooks.example.com:99999999/sec-ret",
        "sec-ret://hooks.example.com/x",
        "http://[sec-ret",
        "http:///sec-ret",
        "sec-ret",
        "http://host/sec-ret\x00",
        "//sec-ret/x",
        "http://sec-ret\u2488com/",
    ],
)
def test_no_part_of_a_malformed_webhook_address_is_shown(address, caplog):
    [problem] = notify(settings(webhook_url=address), EVENT)
    assert "sec-ret" not in problem + caplog.text
    assert "alerts.webhook_url is not an address" in problem or "ConnectError" in problem
