"""The list of models, one model with all that is known of it, and its card."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.audit_view import entries_about
from pipeline.review.pages.monitoring import last_report
from pipeline.review.pagination import paginate
from pipeline.review.review_index import ACCURACY, Model, ReviewIndex
from pipeline.review.security import DOCUMENT_POLICY
from pipeline.review.site import render, site_of

_KEYS = {
    "model": lambda model: model.id,
    "accuracy": lambda model: model.figures.get(ACCURACY),
    "weakest": lambda model: weakest_class(model)[1],
    "blessed": lambda model: model.blessed,
    "approval": lambda model: str(model.approval.status) if model.approval else None,
    "span": lambda model: model.examples.properties.get("span") if model.examples else None,
    "version": lambda model: model.versions[-1] if model.versions else None,
}


def weakest_class(model: Model) -> tuple[str, float | None]:
    """The class that the model finds least of, and its recall."""
    recalls = {name: value for name, value in model.figures.items() if name != ACCURACY}
    name = min(recalls, key=recalls.__getitem__, default="")
    return name.removeprefix("recall_"), recalls.get(name)


def list_models(request: Request) -> Response:
    """`/models`: sorted by `sort`, `order` and `page`."""
    site = site_of(request)
    index = site.index()
    table = paginate(request.query_params, list(index.models.values()), _KEYS, sort="model")
    return render(request, "models.html", table=table, serving=site.serving(index), weakest=weakest_class)


def model_page(request: Request) -> Response:
    """`/models/ID`: where it comes from, how good it is, who decided what, where it went."""
    model = model_of(site_of(request).index(), request.path_params["id"])
    return render_model(request, model)


def render_model(request: Request, model: Model, status: int = 200, **form: str) -> Response:
    """A model's page.

    Args:
        request: that is answered.
        model: the model.
        status: of the answer.
        **form: what was sent in the form of a decision, and the `error` that came of it.
    """
    site = site_of(request)
    index = site.index()
    serving = site.serving(index)
    found, flaw = None, "no card was written of it"
    if model.card:
        try:
            found = evidence.read_evidence(model.card.uri)
        except evidence.FileUnavailable as error:
            flaw = str(error)
    others = {"in service": serving.live.model if serving.live else None}
    if found and "model" in found["baseline"]:
        others["its baseline"] = index.models.get(found["baseline"]["model"])
    others["trained before"] = _before(index, model)
    return render(
        request,
        "model.html",
        status,
        model=model,
        evidence=found,
        flaw=flaw,
        serving=serving,
        others={other.id: name for name, other in reversed(others.items()) if other and other.id != model.id},
        trail=entries_about(site.settings, index, model),
        monitored=last_report(site, model.versions[-1] if model.versions else None),
        tokens=site.tokens,
        form=form,
    )


def card(request: Request) -> Response:
    """`/models/ID/card`: the card as it was written."""
    model = model_of(site_of(request).index(), request.path_params["id"])
    if model.card is None:
        raise HTTPException(404, f"no card was written of model {model.id}")
    page = evidence.read_page(model.card.uri)
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": DOCUMENT_POLICY})


def model_of(index: ReviewIndex, number: int) -> Model:
    """The model with an id.

    Raises:
        HTTPException: there is none.
    """
    model = index.models.get(number)
    if model is None:
        raise HTTPException(404, f"there is no model {number} in the metadata store")
    return model


def _before(index: ReviewIndex, model: Model) -> Model | None:
    earlier = [number for number in index.models if number < model.id]
    return index.models[earlier[-1]] if earlier else None
