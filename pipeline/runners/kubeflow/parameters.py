"""The runtime parameters of a compiled pipeline: what a run may change without compiling anew, and where it goes.

TFX's own RuntimeParameter replaces a whole execution property, and cannot reach into the JSON that most of ours are
(tfx#7733). A parameter here is an input of the run; the tasks that need it take it as an input as well, and their pods
put it where a template says (`pipeline.runners.kubeflow.pod`).
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
        name: as `--param` and Kubeflow's page know it.
        kind: its type in the pipeline specification.
        default: its value where a run names none; None: each run must name one.
        description: for people.
        tasks: for each task that takes it, where it goes there, as `pod.fill` reads it.
    """

    name: str
    kind: Literal["STRING", "NUMBER_INTEGER"]
    default: str | int | None
    description: str
    tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)


def statistics_directory(destination: str) -> str:
    """Where statistics of accepted data are kept below `pusher.destination`."""
    return f"{destination}/statistics"


def runtime_parameters(settings: Settings) -> list[Parameter]:
    """All there are, with the settings' values as defaults."""
    model = settings.pusher.model_name
    beside = () if settings.promotion.audit_log else (f"{{destination}}/{AUDIT_FILE}",)
    gated = settings.promotion.require_approval
    statistics = (f"directory={statistics_directory('{destination}')}",)
    span = settings.data.span
    destination = {
        PREVIOUS_STATISTICS: statistics,
        KEEPER: statistics,
        BASELINE: (f"versions={{destination}}/{model}",),
        PUSHER: (
            f"push_destination.filesystem.base_directory={{destination}}/{model}",
            *(f"audit_log={place}" for place in beside),
        ),
    }
    if gated and beside:
        destination[GATE] = tuple(f"log={place}" for place in beside)
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
            "passes over the training rows at most",
            {TRAINER: ("custom_config.epochs={epochs}",)},
        ),
        Parameter(
            "destination",
            "STRING",
            settings.pusher.destination,
            "base directory of the pushed versions; statistics and audit log lie beside them",
            destination,
        ),
    ]
    if gated:
        said = "who starts the run: the model's author, who may not approve it"
        parameters.append(Parameter(AUTHOR, "STRING", None, said, {GATE: (f"trained_by={{{AUTHOR}}}",)}))
    return parameters
