"""The page that compares two models."""

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.comparison import OUTCOMES, PairedPredictions, compare_cards, find_changes
from pipeline.review.pages.models import find_model
from pipeline.review.pagination import paginate
from pipeline.review.review_index import ReviewedModel
from pipeline.review.site import render, site_of

_EXAMPLES_PER_PAGE = 20
_KEYS = {
    "probability": lambda row: row.probabilities[1],
    "class": lambda row: row.label,
    "first": lambda row: row.first,
    "second": lambda row: row.second,
}


def compare_models(request: Request) -> Response:
    """`/compare?first=ID&second=ID`: metrics, settings, code, data and changed predictions of two models.

    `outcome` filters the changed predictions; `sort`, `order` and `page` select the part shown.
    """
    index = site_of(request).index()
    query = request.query_params
    numbers = [query.get(name, "") for name in ("first", "second")]
    if not all(number.isdecimal() and number.isascii() and len(number) < 10 for number in numbers):
        return render(request, "choose.html", models=list(reversed(index.models.values()))[:50], numbers=numbers)
    first, second = (find_model(index, int(number)) for number in numbers)
    cards = [evidence.read_evidence(_card(model)) for model in (first, second)]
    predictions, problem = None, ""
    try:
        predictions = compare_cards(_card(first), _card(second))
    except evidence.FileUnavailable as error:
        problem = str(error)
    return render(
        request,
        "compare.html",
        first=first,
        second=second,
        cards=cards,
        **find_changes(cards[0], cards[1], (first.needs_approval, second.needs_approval)),
        predictions=predictions,
        problem=problem,
        outcomes=OUTCOMES,
        **(_changed_items(query, predictions, first, second) if predictions else {}),
    )


def _changed_items(
    query: QueryParams, predictions: PairedPredictions, first: ReviewedModel, second: ReviewedModel
) -> dict:
    """Returns a page of changed predictions, with the texts of rows that still exist."""
    outcome = query.get("outcome", "")
    rows = [row for row in predictions.changed if not outcome or row.outcome == outcome]
    table = paginate(query, rows, _KEYS, sort="probability", rows_per_page=_EXAMPLES_PER_PAGE)
    texts: dict[str, tuple[str, str]] = {}
    for model in (second, first):
        if model.examples and any(row.id not in texts for row in table.rows):
            try:
                found = evidence.texts_of(model.examples.uri)
            except evidence.FileUnavailable:
                continue
            texts |= {row.id: found[row.id] for row in table.rows if row.id in found}
    counts = {name: sum(row.outcome == name for row in predictions.changed) for name in OUTCOMES}
    return {"table": table, "texts": texts, "outcome": outcome, "counts": counts}


def _card(model: ReviewedModel) -> str:
    if model.card is None:
        raise HTTPException(404, f"model {model.id} has no model card to compare")
    return model.card.uri
