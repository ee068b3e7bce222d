"""Figures of the models in the order of their training."""

from starlette.requests import Request
from starlette.responses import Response

from pipeline.review.charts import trend
from pipeline.review.pagination import paginate
from pipeline.review.review_index import ACCURACY, RECALLS, Model
from pipeline.review.site import render, site_of

_MODELS_A_PAGE = 200
_ROWS = {"rows read": "rows_read", "training rows": "rows_train"}


def show_trends(request: Request) -> Response:
    """`/trends`: accuracy, recall of each class, and rows, the latest models first (`page`)."""
    index = site_of(request).index()
    judged = [model for model in index.models.values() if ACCURACY in model.figures]
    table = paginate(
        request.query_params, judged, {"model": lambda model: model.id}, sort="model", rows_per_page=_MODELS_A_PAGE
    )
    shown = sorted(table.rows, key=lambda model: model.id)
    numbers = [model.id for model in shown]
    plots = []
    if len(shown) > 1:
        accuracy = {"accuracy": [model.figures[ACCURACY] for model in shown]}
        recalls = {name.removeprefix("recall_"): [model.figures.get(name) for model in shown] for name in RECALLS}
        rows = {label: [_rows(model, name) for model in shown] for label, name in _ROWS.items()}
        plots = [
            trend("accuracy", "Accuracy on the test rows", numbers, accuracy, "/models/{}"),
            trend("recall", "Recall of each class on the test rows", numbers, recalls, "/models/{}"),
        ]
        if any(value is not None for values in rows.values() for value in values):
            plots.append(trend("rows", "Rows that came in", numbers, rows, "/models/{}"))
    return render(request, "trends.html", table=table, models=shown, plots=plots, recalls=RECALLS, rows_of=_rows)


def _rows(model: Model, name: str) -> float | None:
    return model.rows(name) if model.ingested else None
