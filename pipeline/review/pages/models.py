"""The list of models, one model with all that is known of it, and its card."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.audit_view import entries_about
from pipeline.review.listing import listing
from pipeline.review.pages.monitoring import last_report
from pipeline.review.registry import ACCURACY, Model, Registry
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


def all_models(request: Request) -> Response:
    """`/models`: sorted by `sort`, `order` and `page`."""
    site = site_of(request)
    registry = site.registry()
    table = listing(request.query_params, list(registry.models.values()), _KEYS, sort="model")
    return render(request, "models.html", table=table, service=site.service(registry), weakest=weakest_class)


def one_model(request: Request) -> Response:
    """`/models/ID`: where it comes from, how good it is, who decided what, where it went."""
    model = model_of(site_of(request).registry(), request.path_params["id"])
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
    registry = site.registry()
    service = site.service(registry)
    found, flaw = None, "no card was written of it"
    if model.card:
        try:
            found = evidence.read_evidence(model.card.uri)
        except evidence.NotThere as error:
            flaw = str(error)
    others = {"in service": service.live.model if service.live else None}
    if found and "model" in found["baseline"]:
        others["its baseline"] = registry.models.get(found["baseline"]["model"])
    others["trained before"] = _before(registry, model)
    return render(
        request,
        "model.html",
        status,
        model=model,
        evidence=found,
        flaw=flaw,
        refusals=refusals_of_model(model, found or {}),
        service=service,
        others={other.id: name for name, other in reversed(others.items()) if other and other.id != model.id},
        trail=entries_about(site.settings, registry, model),
        monitored=last_report(site, model.versions[-1] if model.versions else None),
        tokens=site.tokens,
        form=form,
    )


def refusals_of_model(model: Model, found: evidence.Evidence) -> list[str]:
    """Why the model was refused, at least one sentence for each verdict against it."""
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


def _run_of(model: Model) -> str:
    return model.run.name if model.run else "that trained it"


def card(request: Request) -> Response:
    """`/models/ID/card`: the card as it was written."""
    model = model_of(site_of(request).registry(), request.path_params["id"])
    if model.card is None:
        raise HTTPException(404, f"no card was written of model {model.id}")
    page = evidence.read_page(model.card.uri)
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": DOCUMENT_POLICY})


def model_of(registry: Registry, number: int) -> Model:
    """The model with an id.

    Raises:
        HTTPException: there is none.
    """
    model = registry.models.get(number)
    if model is None:
        raise HTTPException(404, f"there is no model {number} in the metadata store")
    return model


def _before(registry: Registry, model: Model) -> Model | None:
    earlier = [number for number in registry.models if number < model.id]
    return registry.models[earlier[-1]] if earlier else None
