"""The web application of the demo page."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp

from schema.news_items import TEXT_COLUMNS, validate
from serving.client import AsyncClient, Canary, ClientError, DeadlineError
from serving.demo.explanation import Fields, explain, to_item
from serving.web import DOCUMENT_POLICY, HostAndOriginMiddleware, read_form

_TEMPLATES = Jinja2Templates(Path(__file__).with_name("templates"))
_TEMPLATES.env.filters["points"] = lambda influence: f"{100 * influence:+.1f}".replace("-", "−")
# The page classifies up to 256 more texts of this length, one per word.
_MAX_TITLE_CHARACTERS, _MAX_CHARACTERS = 500, 5_000
_MAX_BODY_BYTES = 100_000
_POLICY = "default-src 'none'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Demo:
    """Configuration of the page.

    Attributes:
        make_client: creates the client. It is called in the running event loop.
        canary: splits requests between the labels canary and stable, or None to use the server's default version.
        card: returns the path of a version's model card, or None if it has no card.
        server: address of the server to display.
    """

    make_client: Callable[[], AsyncClient]
    canary: Canary | None
    card: Callable[[int], Path | None]
    server: str


def make_app(demo: Demo, names: Collection[str] = ()) -> ASGIApp:
    """Creates the web application. `/` has the form and its result, `/model-card/VERSION` a model card.

    Args:
        demo: configuration of the page.
        names: accepted host names in addition to this machine's own.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict]:
        async with demo.make_client() as client:
            yield {"client": client, "demo": demo}

    routes = [
        Route("/", _empty_form),
        Route("/", _classify, methods=["POST"]),
        Route("/model-card/{version:number}", _model_card, name="model_card"),
    ]
    return HostAndOriginMiddleware(Starlette(routes=routes, lifespan=lifespan), names)


async def _empty_form(request: Request) -> Response:
    return _page(request, dict.fromkeys(await _limits(request, None), ""))


async def _classify(request: Request) -> Response:
    demo: Demo = request.state.demo
    label = demo.canary.draw() if demo.canary else None
    fields = await _read_fields(request, await _limits(request, label))
    if rejection := validate(to_item(fields)):
        return _page(request, fields, 422, error=f"Nothing to classify: {rejection.detail}.")
    try:
        explanation = await explain(request.state.client, fields, label=label)
    except ClientError as error:
        return _page(request, fields, 504 if isinstance(error, DeadlineError) else 502, error=str(error))
    version = explanation.answer.model_version
    has_card = demo.card(version) is not None
    return _page(request, fields, explanation=explanation, label=label, has_card=has_card)


async def _limits(request: Request, label: str | None) -> dict[str, int]:
    """Returns the maximum length of the text of each column of the model; the first of several is a title."""
    try:
        columns = await request.state.client.text_columns(label=label)
    except ClientError:
        columns = TEXT_COLUMNS  # The next request reports the error.
    titles = columns[: len(columns) > 1]
    return {name: _MAX_TITLE_CHARACTERS if name in titles else _MAX_CHARACTERS for name in columns}


async def _read_fields(request: Request, limits: dict[str, int]) -> Fields:
    found = await read_form(
        request,
        tuple(limits),
        max_bytes=_MAX_BODY_BYTES,
        too_long="the text is too long for this page; use `agnews classify` for longer texts",
        expected=f"a form with {' and '.join(limits)}",
    )
    return {name: found[name][:limit] for name, limit in limits.items()}


async def _model_card(request: Request) -> Response:
    demo: Demo = request.state.demo
    card = demo.card(request.path_params["version"])
    if card is None:
        raise HTTPException(404, "this version has no model card")
    return FileResponse(card, media_type="text/html", headers={"Content-Security-Policy": DOCUMENT_POLICY})


def _page(request: Request, fields: Fields, status: int = 200, **values: object) -> Response:
    nonce = secrets.token_urlsafe(16)
    policy = f"{_POLICY}; style-src 'nonce-{nonce}'"
    demo: Demo = request.state.demo
    limits = {"title": _MAX_TITLE_CHARACTERS, "text": _MAX_CHARACTERS}
    context = {"fields": fields, "nonce": nonce, "server": demo.server, "limits": limits} | values
    headers = {"Content-Security-Policy": policy}
    return _TEMPLATES.TemplateResponse(request, "page.html", context, status, headers=headers)
