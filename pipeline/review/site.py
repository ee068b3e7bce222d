"""What the pages share: the store's latest content, what is in service, and how a page is written."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from pipeline.governance.approvals import rules_of
from pipeline.metadata.connection import connection_config
from pipeline.monitoring.report import readable_moment
from pipeline.review.review_index import ReviewIndex
from pipeline.review.security import Tokens
from pipeline.review.serving_state import ServingState, read_serving_state
from pipeline.review.snapshot import Snapshot
from pipeline.review.store import StoreReader
from pipeline.settings import Settings

_KEPT_SECONDS = 2.0
_DIRECTORY = Path(__file__).with_name("templates")
_TEMPLATES = Jinja2Templates(_DIRECTORY)
STYLE_SHEET = _DIRECTORY / "style.css"


class Site:
    """The site of one pipeline.

    Args:
        settings: which store, which serving directory, which rules.
        tokens: who may approve and reject.
        now: gives the time, with a time zone.
    """

    def __init__(self, settings: Settings, tokens: Tokens, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.settings, self.tokens, self.now = settings, tokens, now
        self.store = StoreReader(connection_config(settings), max_age=_KEPT_SECONDS)
        self._lock = threading.Lock()
        self._index: tuple[Snapshot, float, ReviewIndex] | None = None
        self._serving: tuple[ReviewIndex, float, ServingState] | None = None

    def index(self) -> ReviewIndex:
        """The runs and models as they are now."""
        snapshot = self.store.snapshot()
        with self._lock:
            # Approvals expire by the minute, not by the second.
            if self._index is None or self._index[0] is not snapshot or time.monotonic() - self._index[1] > 60:
                self._index = snapshot, time.monotonic(), ReviewIndex(snapshot, rules_of(self.settings), self.now())
            return self._index[2]

    def serving(self, index: ReviewIndex) -> ServingState:
        """What is in service now."""
        with self._lock:
            kept = self._serving
            if kept is None or kept[0] is not index or time.monotonic() - kept[1] > _KEPT_SECONDS:
                pusher = self.settings.pusher
                found = self.store.ask(
                    lambda store: read_serving_state(pusher.destination, pusher.model_name, store, index)
                )
                self._serving = kept = index, time.monotonic(), found
            return kept[2]


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    return request.app.state.site


def render(request: Request, template: str, status: int = 200, /, **context: Any) -> Response:
    """A page.

    Args:
        request: that is answered.
        template: its name in `templates/`.
        status: of the answer.
        **context: what the template shows.
    """
    site = site_of(request)
    common = {"path": request.url.path, "navigation": request.app.state.navigation, "name": site.settings.pipeline.name}
    return _TEMPLATES.TemplateResponse(request, template, common | context, status)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _compact(moment: str) -> str:
    """20260112T0304… as people write it."""
    return f"{moment[:4]}-{moment[4:6]}-{moment[6:8]} {moment[9:11]}:{moment[11:13]}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _points(change: float) -> str:
    """A change of a share in percentage points, with its sign."""
    return f"{100 * change:+.2f}".replace("-", "−")


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


_TEMPLATES.env.filters |= {
    "moment": _moment,
    "iso_moment": readable_moment,
    "compact": _compact,
    "duration": _duration,
    "points": _points,
    "p_value": _p_value,
}
_TEMPLATES.env.trim_blocks = _TEMPLATES.env.lstrip_blocks = True
