"""Two models side by side."""

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.comparison import (
    OUTCOMES,
    PairedAnswers,
    changed_code,
    changed_data,
    changed_settings,
    compare_cards,
)
from pipeline.review.pages.models import model_of
from pipeline.review.pagination import paginate
from pipeline.review.review_index import Model
from pipeline.review.site import render, site_of

_EXAMPLES_A_PAGE = 20
_KEYS = {
    "probability": lambda row: row.probabilities[1],
    "class": lambda row: row.label,
    "first": lambda row: row.first,
    "second": lambda row: row.second,
}


def compare_models(request: Request) -> Response:
    """`/compare?first=ID&second=ID`: metrics, settings, code, data, and changed answers (`outcome`) with texts."""
    index = site_of(request).index()
    query = request.query_params
    numbers = [query.get(name, "") for name in ("first", "second")]
    if not all(number.isdecimal() and number.isascii() and len(number) < 10 for number in numbers):
        return render(request, "choose.html", models=list(reversed(index.models.values()))[:50], numbers=numbers)
    first, second = (model_of(index, int(number)) for number in numbers)
    cards = [evidence.read_evidence(_card(model)) for model in (first, second)]
    answers, flaw = None, ""
    try:
        answers = compare_cards(_card(first), _card(second))
    except evidence.FileUnavailable as error:
        flaw = str(error)
    return render(
        request,
        "compare.html",
        first=first,
        second=second,
        cards=cards,
        settings=changed_settings(*cards),
        code=changed_code(*cards),
        data=changed_data(*cards),
        answers=answers,
        flaw=flaw,
        outcomes=OUTCOMES,
        **(_changed(query, answers, first, second) if answers else {}),
    )


def _changed(query: QueryParams, answers: PairedAnswers, first: Model, second: Model) -> dict:
    """A page of the changed answers, with their texts where the rows are still there."""
    outcome = query.get("outcome", "")
    rows = [row for row in answers.changed if not outcome or row.outcome == outcome]
    table = paginate(query, rows, _KEYS, sort="probability", rows_per_page=_EXAMPLES_A_PAGE)
    texts: dict[str, tuple[str, str]] = {}
    for model in (second, first):
        if model.examples and any(row.id not in texts for row in table.rows):
            try:
                found = evidence.texts_of(model.examples.uri)
            except evidence.FileUnavailable:
                continue
            texts |= {row.id: found[row.id] for row in table.rows if row.id in found}
    counts = {name: sum(row.outcome == name for row in answers.changed) for name in OUTCOMES}
    return {"table": table, "texts": texts, "outcome": outcome, "counts": counts}


def _card(model: Model) -> str:
    if model.card is None:
        raise HTTPException(404, f"no card was written of model {model.id}: there is nothing to compare")
    return model.card.uri
