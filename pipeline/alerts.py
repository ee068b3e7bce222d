"""Sends alerts about a run or a served model to the log, a webhook and e-mail.

Every orchestrator calls `notify`, so this module does not import TensorFlow Extended.
"""

import logging
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from enum import StrEnum

import httpx
import tenacity

from pipeline.settings import AlertSettings, Settings
from schema.errors import ApprovalPending, DriftError, SettingsError
from serving.this_machine import proxy_mounts

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_TOO_MANY_REQUESTS = 429


class Kind(StrEnum):
    """Kind of event; the values are those of the setting `alerts.events`."""

    FAILED = "failed"
    DRIFT = "drift"
    NOT_BLESSED = "not_blessed"
    WAITING = "waiting"
    PUSHED = "pushed"
    LATE = "late"
    SHIFT = "shift"


_DESCRIPTIONS = {
    Kind.FAILED: "the run failed",
    Kind.DRIFT: "the data drifted and was rejected",
    Kind.NOT_BLESSED: "the model was not blessed",
    Kind.WAITING: "a model is waiting for approval",
    Kind.PUSHED: "a model was pushed",
    Kind.LATE: "a model is late",
    Kind.SHIFT: "the requests or predictions of a served model changed",
}


@dataclass(frozen=True)
class Event:
    """An event to send as an alert.

    Attributes:
        kind: kind of event.
        run: name of the run, or the served version.
        message: the reason and the next step.
        log: path of the run's log, or of the monitoring report for `Kind.SHIFT`.
        model_id: id of the model that the event is about, for links to the review site; None if there is none.
    """

    kind: Kind
    run: str
    message: str
    log: str
    model_id: int | None = None

    @classmethod
    def of_error(cls, error: Exception, run: str, log: str) -> "Event":
        """Creates the event of a run that ended with an error."""
        kinds: dict[type[Exception], Kind] = {DriftError: Kind.DRIFT, ApprovalPending: Kind.WAITING}
        return cls(kinds.get(type(error), Kind.FAILED), run, str(error), log)


def notify(settings: Settings, event: Event) -> list[str]:
    """Sends an event through every configured channel, if `alerts.events` contains its kind.

    Never raises: a run must not fail because an alert could not be sent.

    Returns:
        One message for each channel that failed; the messages contain no secrets.
    """
    alerts = settings.alerts
    if event.kind not in alerts.events:
        return []
    subject = f"{settings.pipeline.name}: {_DESCRIPTIONS[event.kind]} ({event.run})"
    logger.warning("alert: %s", subject, extra={"fields": asdict(event)})
    channels: dict[str, Callable[[AlertSettings, str, str], None]] = {}
    if alerts.webhook_url or alerts.webhook_url_file:
        channels["webhook"] = _post
    if alerts.smtp_host:
        channels["e-mail"] = _mail
    body = "\n".join([event.message, *_links(alerts.review_url, event)])
    problems = []
    for name, send in channels.items():
        try:
            send(alerts, subject, body)
        except Exception as error:
            problems.append(f"the alert could not be sent by {name}: {_reason(error)}")
            logger.error(problems[-1])
    return problems


def _links(review_url: str | None, event: Event) -> list[str]:
    lines = [f"{'report' if event.kind is Kind.SHIFT else 'log'}: {event.log}"]
    if review_url and event.model_id is not None:
        page = f"{review_url.rstrip('/')}/models/{event.model_id}"
        lines += [f"model: {page}", f"card: {page}/card"]
    return lines


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):  # httpx's message contains the URL, which is a secret.
        return f"the server answered {error.response.status_code} {error.response.reason_phrase}"
    return f"{type(error).__name__}: {error}"


def _is_retryable(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == _TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


@tenacity.retry(
    retry=tenacity.retry_if_exception(_is_retryable),
    stop=tenacity.stop_after_attempt(_ATTEMPTS),
    wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
    reraise=True,
)
def _post(alerts: AlertSettings, subject: str, body: str) -> None:
    """Posts the JSON of Slack's incoming webhooks, which Mattermost and others accept too."""
    url = alerts.read_webhook_url()
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        # The address is a secret, and the messages of httpx quote its parts.
        raise SettingsError("alerts.webhook_url is not an address of the form https://HOST/PATH") from None
    # httpx logs every URL, and this one is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with httpx.Client(timeout=alerts.timeout_seconds, mounts=proxy_mounts(url)) as client:
        client.post(url, json={"text": f"{subject}\n{body}"}).raise_for_status()


def _mail(alerts: AlertSettings, subject: str, body: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, alerts.mail_from, ", ".join(alerts.mail_to)
    message.set_content(body)
    tls = ssl.create_default_context()
    host, port = alerts.smtp_host or "", alerts.smtp_port
    connection = (
        smtplib.SMTP_SSL(host, port, timeout=alerts.timeout_seconds, context=tls)
        if alerts.smtp_security == "tls"
        else smtplib.SMTP(host, port, timeout=alerts.timeout_seconds)
    )
    with connection as server:
        if alerts.smtp_security == "starttls":
            server.starttls(context=tls)
        if alerts.smtp_user:
            server.login(alerts.smtp_user, alerts.read_smtp_password() or "")
        server.send_message(message)
