"""Defines the runtime parameters of a compiled pipeline, which a run can change without compiling again.

TFX's own RuntimeParameter replaces a whole execution property, and cannot change a value inside JSON, which most of our
properties are (tfx#7733). A parameter here is an input of the run and of the tasks that use it, and a template says
where the pods insert it (`pipeline.runners.kubeflow.pod`).
"""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.runners.kubeflow.tasks import (
    AUTHOR,
    BASELINE,
    EXAMPLE_GEN,
    FIND_DATA,
    GATE,
    KEEPER,
    LATEST_SPAN,
    PREVIOUS_STATISTICS,
    PUSHER,
    TRAINER,
)
from pipeline.settings import Settings
from serving.audit import AUDIT_FILE


@dataclass(frozen=True)
class Parameter:
    """One input of the run.

    Attributes:
        name: name in `--param` and on Kubeflow's page.
        kind: type in the pipeline specification.
        default: default value; None means that each run must set one.
        description: description for people.
        tasks: templates for `pod.fill`, by the task that uses the parameter.
    """

    name: str
    kind: Literal["STRING", "NUMBER_INTEGER"]
    default: str | int | None
    description: str
    tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)


def statistics_directory(destination: str) -> str:
    """Returns the directory for statistics of accepted data, below `pusher.destination`."""
    return f"{destination}/statistics"


def runtime_parameters(settings: Settings) -> list[Parameter]:
    """Returns all runtime parameters, with the values in the settings as defaults."""
    model = settings.pusher.model_name
    in_destination = () if settings.promotion.audit_log else (f"{{destination}}/{AUDIT_FILE}",)
    gated = settings.promotion.require_approval
    statistics = (f"directory={statistics_directory('{destination}')}",)
    span = settings.data.span
    destination = {
        PREVIOUS_STATISTICS: statistics,
        KEEPER: statistics,
        BASELINE: (f"versions={{destination}}/{model}",),
        PUSHER: (
            f"push_destination.filesystem.base_directory={{destination}}/{model}",
            *(f"audit_log={place}" for place in in_destination),
        ),
    }
    if gated and in_destination:
        destination[GATE] = tuple(f"log={place}" for place in in_destination)
    parameters = [
        Parameter(
            "data_path",
            "STRING",
            settings.data.path,
            "directory or URI of the data",
            {
                FIND_DATA: (),
                EXAMPLE_GEN: ("input_base={data_path}", "custom_config.custom_config.value.source={data_path}"),
            },
        ),
        Parameter(
            "span",
            "NUMBER_INTEGER",
            LATEST_SPAN if span is None else span,
            f"span to ingest; {LATEST_SPAN}: the latest",
            {FIND_DATA: ()},
        ),
        Parameter(
            "epochs",
            "NUMBER_INTEGER",
            settings.trainer.epochs,
            "maximum number of training epochs",
            {TRAINER: ("custom_config.epochs={epochs}",)},
        ),
        Parameter(
            "destination",
            "STRING",
            settings.pusher.destination,
            "base directory of the pushed versions, the statistics and the audit log",
            destination,
        ),
    ]
    if gated:
        said = "person who starts the run: the author of the model, who may not approve it"
        parameters.append(Parameter(AUTHOR, "STRING", None, said, {GATE: (f"trained_by={{{AUTHOR}}}",)}))
    return parameters
