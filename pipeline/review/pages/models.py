"""Pages about models: the list, one model with its evidence and audit trail, its model card, and trends."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from components.model_card.document import Plot
from components.statistics import wilson_interval
from pipeline.charts import Series, line_chart
from pipeline.review import evidence
from pipeline.review.alarms import find_alarms
from pipeline.review.audit_trail import find_audit_trail, served_differences
from pipeline.review.comparison import settings_of_model, varying_settings
from pipeline.review.pages.monitoring import latest_report
from pipeline.review.pagination import filter_by_text, paginate
from pipeline.review.review_index import ACCURACY, RECALL, ReviewedModel, ReviewIndex
from pipeline.review.run_settings import filter_by_settings
from pipeline.review.serving_state import ServicePeriod, find_service_periods
from pipeline.review.site import render, show_document, site_of

_KEYS = {
    "model": lambda model: model.id,
    "accuracy": lambda model: model.figures.get(ACCURACY),
    "weakest": lambda model: weakest_class(model)[1],
    "blessed": lambda model: model.blessed,
    "approval": lambda model: str(model.approval.status) if model.approval else None,
    "span": lambda model: model.examples.properties.get("span") if model.examples else None,
    "version": lambda model: model.versions[-1] if model.versions else None,
}
_MODELS_PER_TREND = 200
_ROWS = {"rows read": "rows_read", "training rows": "rows_train"}


def weakest_class(model: ReviewedModel) -> tuple[str, float | None]:
    """Returns the class with the lowest recall, and that recall."""
    recalls = {name: value for name, value in model.figures.items() if name != ACCURACY}
    name = min(recalls, key=recalls.__getitem__, default="")
    return name.removeprefix("recall_"), recalls.get(name)


def list_models(request: Request) -> Response:
    """`/models`: models; `model`, or `q` and `setting`, filter; `sort`, `order` and `page` select the part shown."""
    site = site_of(request)
    index = site.index()
    models, filters = _filter(request, index)
    table = paginate(request.query_params, models, _KEYS, sort="model")
    return render(
        request, "models.html", table=table, serving=site.serving(index), weakest=weakest_class, index=index, **filters
    )


def _filter(request: Request, index: ReviewIndex) -> tuple[list[ReviewedModel], dict[str, str]]:
    """Returns the models that a request asks for, and what the search form shows."""
    words, setting = (request.query_params.get(name, "") for name in ("q", "setting"))
    models, problem = list(index.models.values()), ""
    if chosen := request.query_params.getlist("model"):
        models = [model for model in models if str(model.id) in chosen]
    else:
        models, problem = filter_by_settings(models, setting, lambda model: index.settings_of(model.run))
        models = filter_by_text(models, words, _searched)
    return models, {"words": words, "setting": setting, "problem": problem}


def settings_side_by_side(request: Request) -> Response:
    """`/models/settings`: the settings of models as columns; `model` selects, otherwise `q` and `setting` filter."""
    index = site_of(request).index()
    models, filters = _filter(request, index)
    table = paginate(request.query_params, models, {"model": _KEYS["model"]}, sort="model")
    rows, without_card = [], []
    for model in table.rows:
        try:
            rows.append((model, settings_of_model(evidence.read_evidence(model.card.uri if model.card else ""))))
        except evidence.FileUnavailable:
            without_card.append(model.id)
    names = varying_settings([settings for _, settings in rows])
    return render(
        request,
        "settings.html",
        table=table,
        rows=rows,
        names=names,
        without_card=without_card,
        weakest=weakest_class,
        **filters,
    )


def _searched(model: ReviewedModel) -> str:
    approval, spans = model.approval, " ".join(f"span {one.properties.get('span', 0)}" for one in model.ingested)
    run = model.run.name if model.run else ""
    people = f"{approval.author} {approval.approvers} {approval.status}" if approval else ""
    verdict = {True: "blessed", False: "refused", None: ""}[model.blessed]
    return f"model {model.id} {run} {spans} {people} {verdict} {model.fingerprint} {model.versions}"


def model_page(request: Request) -> Response:
    """`/models/ID`: a model's origin, quality, decisions and versions."""
    model = find_model(site_of(request).index(), request.path_params["id"])
    return render_model(request, model)


def render_model(request: Request, model: ReviewedModel, status: int = 200, **form: str) -> Response:
    """Renders the page of a model.

    Args:
        request: the request to answer.
        model: the model.
        status: HTTP status code.
        **form: fields of a rejected decision form, and the message `error`.
    """
    site = site_of(request)
    index = site.index()
    serving = site.serving(index)
    found, problem = None, "the model has no model card"
    if model.card:
        try:
            found = evidence.read_evidence(model.card.uri)
        except evidence.FileUnavailable as error:
            problem = str(error)
    others = {"in production": serving.production.model if serving.production else None}
    if found and "model" in found["baseline"]:
        others["its baseline"] = index.models.get(found["baseline"]["model"])
    others["trained before it"] = _predecessor(index, model)
    # Any version of it that servers load now, the production version first.
    live = [
        one for one in serving.versions if one.model and one.model.id == model.id and (one.in_production or one.loaded)
    ]
    version = max(live, key=lambda one: one.in_production, default=None)
    differences = served_differences(site.settings, version.number) if version else ()
    return render(
        request,
        "model.html",
        status,
        alarms=find_alarms(version, model, differences, latest_report(site, version.number if version else None)),
        decided=bool(request.query_params.get("decided")),
        weakest=weakest_class(model),
        model=model,
        evidence=found,
        problem=problem,
        refusals=refusals_of_model(model, found or {}),
        serving=serving,
        others={other.id: name for name, other in reversed(others.items()) if other and other.id != model.id},
        trail=find_audit_trail(site.settings, index, model),
        monitored=latest_report(site, model.versions[-1] if model.versions else None),
        form=form,
    )


def refusals_of_model(model: ReviewedModel, found: evidence.Evidence) -> list[str]:
    """Returns why the model was refused, one or more sentences for each verdict against it."""
    verdicts = found.get("verdicts", {})
    reasons = []
    if model.blessed is False:
        # Cards had no reasons at first.
        said = verdicts.get("reasons") or [f"its card does not say why; see the log of run {_run_of(model)}"]
        reasons += [f"Not blessed: {reason}." for reason in said]
    if model.servable is False:
        said = verdicts.get("infra_reason") or f"the verdict has no reason; see the log of run {_run_of(model)}"
        reasons.append(f"InfraValidator refused it: {said}.")
    return reasons


def _run_of(model: ReviewedModel) -> str:
    return model.run.name if model.run else "that trained it"


def card(request: Request) -> Response:
    """`/models/ID/card`: the model card's HTML."""
    model = find_model(site_of(request).index(), request.path_params["id"])
    if model.card is None:
        raise HTTPException(404, f"model {model.id} has no model card")
    page = evidence.read_page(model.card.uri)
    return show_document(page, f"/models/{model.id}", f"Model {model.id} on the review site")


def show_trends(request: Request) -> Response:
    """`/trends`: accuracy, recall and row counts of evaluated models in the order of their training; `page`."""
    site = site_of(request)
    index = site.index()
    evaluated = [model for model in index.models.values() if ACCURACY in model.figures]
    keys = {"model": lambda model: model.id}
    table = paginate(request.query_params, evaluated, keys, sort="model", rows_per_page=_MODELS_PER_TREND)
    models = sorted(table.rows, key=lambda model: model.id)
    accuracy: Series = {"accuracy": [model.figures[ACCURACY] for model in models]}
    names = list(dict.fromkeys(name for model in models for name in model.figures if name.startswith(RECALL)))
    recalls: Series = {name.removeprefix(RECALL): [model.figures.get(name) for model in models] for name in names}
    rows: Series = {label: [_row_count(model, name) for model in models] for label, name in _ROWS.items()}
    periods_of: dict[int, list[ServicePeriod]] = {model.id: [] for model in models}
    for period in find_service_periods(site.serving(index), index):
        if period.model and period.model.id in periods_of:
            periods_of[period.model.id].append(period)
    periods = sorted((one for found in periods_of.values() for one in found), key=lambda one: one.since)
    intervals = {model.id: accuracy_interval(model) for model in models}
    plots = []
    if len(models) > 1:
        title = "Accuracy on the test rows, with 95 % intervals"
        plots.append(_trend("accuracy", title, models, accuracy, periods, list(intervals.values())))
        plots.append(_trend("recall", "Recall of each class on the test rows", models, recalls, periods))
        if any(value is not None for values in rows.values() for value in values):
            plots.append(_trend("rows", "Ingested rows", models, rows, periods))
    return render(
        request,
        "trends.html",
        table=table,
        models=models,
        plots=plots,
        recalls=names,
        rows_of=_row_count,
        intervals=intervals,
        periods_of=periods_of,
    )


def accuracy_interval(model: ReviewedModel) -> tuple[float, float] | None:
    """Returns Wilson's 95 % interval of a model's accuracy; None if the number of its test rows is unknown."""
    rows = int(model.examples.properties.get("rows_test", 0)) if model.examples else 0
    return wilson_interval(round(model.figures[ACCURACY] * rows), rows) if rows else None


def find_model(index: ReviewIndex, number: int) -> ReviewedModel:
    """Returns the model with an id.

    Raises:
        HTTPException: the metadata store has no such model.
    """
    model = index.models.get(number)
    if model is None:
        raise HTTPException(404, f"model {number} is not in the metadata store")
    return model


def _predecessor(index: ReviewIndex, model: ReviewedModel) -> ReviewedModel | None:
    earlier = [number for number in index.models if number < model.id]
    return index.models[earlier[-1]] if earlier else None


def _row_count(model: ReviewedModel, name: str) -> float | None:
    return model.rows(name) if model.ingested else None


def _trend(
    name: str,
    title: str,
    models: list[ReviewedModel],
    series: Series,
    periods: Sequence[ServicePeriod],
    intervals: Sequence[tuple[float, float] | None] = (),
) -> Plot:
    parts = []
    for label, line in series.items():
        known = [value for value in line if value is not None]
        if known:
            lowest, highest = min(known), max(known)
            ends = f"{label} from {known[0]:.4g} to {known[-1]:.4g}"
            parts.append(f"{ends}, lowest {lowest:.4g}, highest {highest:.4g}")
    description = f"Models {models[0].id} to {models[-1].id}: {'; '.join(parts)}. The table contains all values."
    labels = [f"model {model.id}" for model in models]
    moments = [model.artifact.made for model in models]
    for one in periods[-1:]:
        if one.model and one.until is None:
            description += f" Model {one.model.id} is in production."
    return line_chart(
        name,
        title,
        labels,
        series,
        description,
        dots=True,
        moments=moments,
        intervals=intervals,
        periods=[(one.since, one.until, str(one.version)) for one in periods],
    )
