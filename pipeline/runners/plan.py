"""The plan of a run: what an orchestrator needs to run `agnews component` for each component in order."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from tfx.orchestration.pipeline import Pipeline

from pipeline.dag import TRAINING, create_components
from pipeline.runners.component import REQUEST, compile_run, upstream_components
from pipeline.runners.preflight import expected_source
from pipeline.settings import Settings
from schema.errors import exit_statuses


def make_plan(settings: Settings, options: Sequence[str] = ()) -> dict[str, Any]:
    """Makes the plan, which depends only on settings and code. Neither data nor metadata store are touched.

    Args:
        settings: all settings.
        options: options of the command line with which `agnews component` reads the same settings.

    Returns:
        Values for JSON; docs/reference/plan.md describes them.

    Raises:
        SettingsError: TensorFlow would read a path as a pattern.
    """
    source = expected_source(settings)
    pipeline = Pipeline(settings.pipeline.name, settings.pipeline.root, components=create_components(settings, source))
    components = upstream_components(compile_run(pipeline, "plan"))
    return {
        "pipeline": settings.pipeline.name,
        "version": version("agnews-pipeline"),
        "options": list(options),
        "components": components,
        "training": [name for name in components if name in TRAINING],
        "approval": REQUEST if REQUEST in components else None,
        "exit_statuses": exit_statuses(),
        "orchestrator": settings.airflow.model_dump(mode="json") | {"dated": source.is_dated},
        "kubeflow": settings.kubeflow.model_dump(mode="json"),
    }
