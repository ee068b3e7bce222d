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

from schema.news_items import NewsItem, validate
from serving.client import AsyncClient, Canary, ClientError, DeadlineError
from serving.demo.explanation import explain
from serving.web import DOCUMENT_POLICY, HostAndOriginMiddleware, read_form

_TEMPLATES = Jinja2Templates(Path(__file__).with_name("templates"))
_TEMPLATES.env.filters["points"] = lambda influence: f"{100 * influence:+.1f}".replace("-", "−")
# The page classifies up to 256 more texts of this length, one per word.
_MAX_CHARACTERS = {"title": 500, "description": 5_000}
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
    return _page(request, NewsItem())


async def _classify(request: Request) -> Response:
    item = await _read_item(request)
    if rejection := validate(item):
        return _page(request, item, 422, error=f"Nothing to classify: {rejection.detail}.")
    demo: Demo = request.state.demo
    label = demo.canary.draw() if demo.canary else None
    try:
        explanation = await explain(request.state.client, item, label=label)
    except ClientError as error:
        return _page(request, item, 504 if isinstance(error, DeadlineError) else 502, error=str(error))
    version = explanation.answer.model_version
    has_card = demo.card(version) is not None
    return _page(request, item, explanation=explanation, label=label, has_card=has_card)


async def _read_item(request: Request) -> NewsItem:
    fields = await read_form(
        request,
        tuple(_MAX_CHARACTERS),
        max_bytes=_MAX_BODY_BYTES,
        too_long="the text is too long for this page; use `agnews classify` for longer texts",
        expected="a form with title and description",
    )
    title, description = (fields[name][:limit] for name, limit in _MAX_CHARACTERS.items())
    return NewsItem(title, description)


async def _model_card(request: Request) -> Response:
    demo: Demo = request.state.demo
    card = demo.card(request.path_params["version"])
    if card is None:
        raise HTTPException(404, "this version has no model card")
    return FileResponse(card, media_type="text/html", headers={"Content-Security-Policy": DOCUMENT_POLICY})


def _page(request: Request, item: NewsItem, status: int = 200, **values: object) -> Response:
    nonce = secrets.token_urlsafe(16)
    policy = f"{_POLICY}; style-src 'nonce-{nonce}'"
    demo: Demo = request.state.demo
    context = {"item": item, "nonce": nonce, "server": demo.server, "limits": _MAX_CHARACTERS} | values
    headers = {"Content-Security-Policy": policy}
    return _TEMPLATES.TemplateResponse(request, "page.html", context, status, headers=headers)
