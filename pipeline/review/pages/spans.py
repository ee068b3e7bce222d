"""The data: which rows came in, and which models, served ones above all, were trained on them."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review.pagination import paginate
from pipeline.review.site import render, site_of


def list_spans(request: Request) -> Response:
    """`/spans`: each span with its rows and its models."""
    index = site_of(request).index()
    rows = [(span, examples) for span, ingested in index.spans.items() for examples in ingested]
    keys = {
        "span": lambda row: (row[0], row[1].id),
        "rows": lambda row: row[1].properties.get("rows_read"),
        "quarantined": lambda row: row[1].properties.get("rows_quarantined"),
        "models": lambda row: len(index.trained_on(row[1].id)),
    }
    return render(request, "spans.html", table=paginate(request.query_params, rows, keys, sort="span"), index=index)


def span_page(request: Request) -> Response:
    """`/spans/N`: which models saw this span in their training, and which of them were served."""
    site = site_of(request)
    index = site.index()
    span = request.path_params["span"]
    if span not in index.spans:
        raise HTTPException(404, f"no rows of span {span} came in")
    ingested = index.spans[span]
    saw = {model.id: model for examples in ingested for model in index.trained_on(examples.id)}
    models = [saw[number] for number in sorted(saw)]
    return render(
        request,
        "span.html",
        span=span,
        ingested=ingested,
        served=[(model, version) for model in models for version in model.versions],
        others=[model for model in models if not model.versions],
        serving=site.serving(index),
        index=index,
    )
