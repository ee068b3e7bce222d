import pytest

from pipeline.alerts import Event, Kind
from pipeline.cli.telling import tell
from pipeline.settings import Settings
from schema.interruption import Interrupted


@pytest.fixture
def alert(http_sink, tmp_path):
    """Sends an alert about a failure; returns the requests that the webhook received."""
    with http_sink() as sink:

        def alert():
            tell(Settings(alerts={"webhook_url": sink.url}), Event(Kind.FAILED, "run", "why", "log"), tmp_path / "log")

        alert.bodies = sink.bodies
        yield alert


def test_an_event_is_sent(alert):
    alert()
    assert len(alert.bodies) == 1


def test_after_a_signal_to_end_nobody_is_alerted(alert, interrupt):
    interrupt()
    with pytest.raises(Interrupted):
        alert()
    assert alert.bodies == []
