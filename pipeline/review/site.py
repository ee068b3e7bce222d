"""Shared state of the pages: current content of the metadata store and serving directory, and page rendering."""

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from pipeline.governance.approvals import rules_of
from pipeline.governance.audit_check import audit_log
from pipeline.metadata.connection import connection_config
from pipeline.metadata.snapshot import Snapshot
from pipeline.metadata.store_reader import StoreReader
from pipeline.monitoring.report import readable_moment
from pipeline.review.login import ProxyLogin, person_of
from pipeline.review.openid import OpenIdLogin
from pipeline.review.review_index import ReviewIndex
from pipeline.review.security import Tokens
from pipeline.review.serving_state import ServingState, read_serving_state
from pipeline.settings import Settings
from schema.data_set import describe_metric, describe_slice
from schema.wording import amount
from serving.web import DOCUMENT_POLICY

_MAX_AGE_SECONDS = 2.0
_DIRECTORY = Path(__file__).with_name("templates")
_TEMPLATES = Jinja2Templates(_DIRECTORY)
_TABLE, _ROW = re.compile(r"<table\b.*?</table>", re.DOTALL), re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_HEADING, _CELL = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL), re.compile(r"<(t[hd])\b")
STYLE_SHEET = _DIRECTORY / "style.css"


class Site:
    """The data behind the site of one pipeline.

    Args:
        settings: settings with the metadata store, serving directory and approval rules.
        tokens: tokens of approvers.
        login: log-in, which replaces the tokens; None without one.
        now: returns the current time with a time zone.
        poll_seconds: seconds to wait for servers to read models.config before a label moves.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        login: OpenIdLogin | ProxyLogin | None = None,
        poll_seconds: float = 15.0,
    ):
        self.settings, self.tokens, self.now, self.login = settings, tokens, now, login
        self.poll_seconds = poll_seconds
        self.store = StoreReader(connection_config(settings), max_age=_MAX_AGE_SECONDS)
        self._lock = threading.Lock()
        self._index: tuple[Snapshot, float, ReviewIndex] | None = None
        self._serving: tuple[ReviewIndex, float, ServingState] | None = None

    def index(self) -> ReviewIndex:
        """Returns the current runs and models."""
        snapshot = self.store.snapshot()
        with self._lock:
            # Approvals expire, so the index is rebuilt every minute even if the store did not change.
            if self._index is None or self._index[0] is not snapshot or time.monotonic() - self._index[1] > 60:
                self._index = snapshot, time.monotonic(), ReviewIndex(snapshot, rules_of(self.settings), self.now())
            return self._index[2]

    def serving(self, index: ReviewIndex) -> ServingState:
        """Returns the current pushed versions and the production version."""
        with self._lock:
            cached = self._serving
            if cached is None or cached[0] is not index or time.monotonic() - cached[1] > _MAX_AGE_SECONDS:
                destination, model_name = self.settings.pusher.destination, self.settings.pusher.model_name
                log = audit_log(self.settings) if self.settings.promotion.audit_log else None
                state = self.store.query(lambda store: read_serving_state(destination, model_name, store, index, log))
                self._serving = cached = index, time.monotonic(), state
            return cached[2]

    def invalidate(self) -> None:
        """Forgets what was read, after a change that this site made."""
        self.store.invalidate()
        with self._lock:
            self._serving = None


def site_of(request: Request) -> Site:
    """Returns the site of a request."""
    return request.app.state.site


def render(request: Request, template: str, status: int = 200, /, **context: Any) -> Response:
    """Renders a page.

    Args:
        request: the request to answer.
        template: file name in `templates/`.
        status: HTTP status code.
        **context: variables of the template.
    """
    site = site_of(request)
    person = person_of(request)
    common = {"path": request.url.path, "navigation": request.app.state.navigation, "name": site.settings.pipeline.name}
    common["repository_url"] = (site.settings.review.repository_url or "").rstrip("/")
    common |= {"person": person, "can_log_out": isinstance(site.login, OpenIdLogin), "tokens": site.tokens}
    common["may_decide"] = person.may_decide if person else bool(site.tokens)
    return _TEMPLATES.TemplateResponse(request, template, common | context, status)


def show_document(document: bytes, address: str, text: str) -> Response:
    """Shows a stored HTML document in a sandbox, with a link to a page of the site at its top."""
    link = Markup('<body><nav aria-label="Back"><a href="{}">← {}</a></nav>').format(address, text)
    page = document.replace(b"<body>", link.encode(), 1)
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": DOCUMENT_POLICY})


def _label_cells(content: str) -> Markup:
    """Writes the heading of its column into each table cell, for phones, where a row is a card of labelled values.

    A style sheet that lays out rows as cards takes the meaning of a table away from screen readers, so roles give it.
    """

    def label_table(table: re.Match[str]) -> str:
        head, divider, body = table.group().partition("</thead>")
        if not divider:
            return table.group()
        labels = [re.sub(r"<[^>]*>|[↑↓]", "", text).strip() for text in _HEADING.findall(head)]

        def label_row(row: re.Match[str]) -> str:
            column = iter(labels)

            def label_cell(cell: re.Match[str]) -> str:
                role = "rowheader" if cell[1] == "th" else "cell"
                return f'<{cell[1]} role="{role}" data-label="{next(column, "")}"'

            return '<tr role="row"' + _CELL.sub(label_cell, row.group()[3:])

        head = head.replace("<table", '<table role="table"', 1).replace("<thead", '<thead role="rowgroup"', 1)
        head = head.replace("<tr", '<tr role="row"').replace("<th ", '<th role="columnheader" ')
        return head + divider + _ROW.sub(label_row, body.replace("<tbody", '<tbody role="rowgroup"', 1))

    return Markup(_TABLE.sub(label_table, content))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _compact(moment: str) -> str:
    """Formats a compact time such as 20260112T0304… as 2026-01-12 03:04."""
    return f"{moment[:4]}-{moment[4:6]}-{moment[6:8]} {moment[9:11]}:{moment[11:13]}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _points(change: float) -> str:
    """Formats a change of a share in percentage points with its sign."""
    return f"{100 * change:+.2f}".replace("-", "−")


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


_TEMPLATES.env.filters |= {
    "amount": amount,
    "label_cells": _label_cells,
    "moment": _moment,
    "iso_moment": readable_moment,
    "compact": _compact,
    "duration": _duration,
    "points": _points,
    "p_value": _p_value,
    "slice": describe_slice,
}
_TEMPLATES.env.globals["describe_metric"] = describe_metric
_TEMPLATES.env.trim_blocks = _TEMPLATES.env.lstrip_blocks = True
