"""The data: which rows came in, and which models, served ones above all, were trained on them."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review.listing import listing
from pipeline.review.site import render, site_of


def all_spans(request: Request) -> Response:
    """`/spans`: each span with its rows and its models."""
    registry = site_of(request).registry()
    rows = [(span, examples) for span, ingested in registry.spans.items() for examples in ingested]
    keys = {
        "span": lambda row: (row[0], row[1].id),
        "rows": lambda row: row[1].properties.get("rows_read"),
        "quarantined": lambda row: row[1].properties.get("rows_quarantined"),
        "models": lambda row: len(registry.trained_on(row[1].id)),
    }
    return render(
        request, "spans.html", table=listing(request.query_params, rows, keys, sort="span"), registry=registry
    )


def one_span(request: Request) -> Response:
    """`/spans/N`: which models saw this span in their training, and which of them were served."""
    site = site_of(request)
    registry = site.registry()
    span = request.path_params["span"]
    if span not in registry.spans:
        raise HTTPException(404, f"no rows of span {span} came in")
    ingested = registry.spans[span]
    saw = {model.id: model for examples in ingested for model in registry.trained_on(examples.id)}
    models = [saw[number] for number in sorted(saw)]
    return render(
        request,
        "span.html",
        span=span,
        ingested=ingested,
        served=[(model, version) for model in models for version in model.versions],
        others=[model for model in models if not model.versions],
        service=site.service(registry),
        registry=registry,
    )
