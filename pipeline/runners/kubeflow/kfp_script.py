"""Compiles a plan with the DSL of Kubeflow Pipelines, and sends compiled pipelines to its API.

kfp and TFX are not in the same environment. Therefore this file is a script that imports kfp and the standard library
alone: `python -I kfp_script.py` reads a request from stdin and writes the answer to stdout, both as JSON.
`pipeline.runners.kubeflow.client` calls it.
"""

import contextlib
import inspect
import io
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp import Client, compiler, dsl, kubernetes
from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

_RUN = "run"
_REFUSED = 6  # Exit status of KubeflowError, which cannot be imported here.
_PAGE = 100


def compile_pipeline(plan: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]], file: str) -> None:
    """Writes the pipeline of a plan: one container per component, and one that ends the run.

    Args:
        plan: the plan that `agnews plan` prints.
        parameters: parameters of a run: `name`, `option` before the value on the command line, `description`, and
            `default` unless each run must name a value.
        file: path of the YAML file.
    """
    settings = plan["kubeflow"]

    def pipeline(*values: dsl.PipelineTask) -> None:
        inputs = dict(zip((one["name"] for one in parameters), values, strict=True))
        with dsl.ExitHandler(_end_task(plan), name="components"):
            tasks: dict[str, dsl.PipelineTask] = {}
            for name, upstream in plan["components"].items():
                tasks[name] = _component_task(plan, name, parameters, inputs).after(*(tasks[one] for one in upstream))

    described = "".join(f"\n    {one['name']}: {one['description']}" for one in parameters)
    pipeline.__doc__ = f"{plan['pipeline']}: from labelled texts to a servable model.\n\nArgs:{described}"
    _declare(pipeline, {one["name"]: one.get("default", inspect.Parameter.empty) for one in parameters})
    compiler.Compiler().compile(
        dsl.pipeline(name=plan["pipeline"], pipeline_root=settings["pipeline_root"])(pipeline), file
    )


def _component_task(
    plan: Mapping[str, Any], name: str, parameters: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
) -> dsl.PipelineTask:
    settings, limits = plan["kubeflow"], plan["orchestrator"]
    waits, trains = name == plan["approval"], name in plan["training"]
    arguments = ["component", name, *plan["options"]]
    arguments += ["--wait", f"{limits['approval_hours']:g}"] if waits else ["--will-retry"]

    def component(run: Any, *values: Any) -> dsl.ContainerSpec:
        options = [f"{one['option']}{value}" for one, value in zip(parameters, values, strict=True)]
        image = settings["trainer_image"] if trains and settings["trainer_image"] else settings["image"]
        return dsl.ContainerSpec(image=image, command=["agnews"], args=[*arguments, f"--run=kubeflow-{run}", *options])

    component.__name__ = name
    _declare(component, dict.fromkeys([_RUN, *inputs], inspect.Parameter.empty))
    task = dsl.container_component(component)(run=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **inputs)
    minutes = limits["approval_hours"] * 60 if waits else limits["training_minutes" if trains else "task_minutes"]
    if limits["retries"] and not waits:  # A run that nobody approved would wait again.
        task.set_retry(limits["retries"], f"{limits['retry_minutes'] * 60:.0f}s", 2.0, "3600s")
    if trains:
        _add_resources(task, settings)
    # A minute more than the command waits itself.
    kubernetes.set_timeout(task, int(minutes * 60) + 60)
    return _prepare(task, name, settings)


def _end_task(plan: Mapping[str, Any]) -> dsl.PipelineTask:
    def end(run: Any, status: Any) -> dsl.ContainerSpec:
        arguments = ["finish", *plan["options"], f"--run=kubeflow-{run}", "--status", status]
        return dsl.ContainerSpec(image=plan["kubeflow"]["image"], command=["agnews"], args=arguments)

    _declare(end, dict.fromkeys([_RUN, "status"], inspect.Parameter.empty), status=dsl.PipelineTaskFinalStatus)
    task = dsl.container_component(end)(run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    return _prepare(task, "end of the run", plan["kubeflow"])


def _prepare(task: dsl.PipelineTask, name: str, settings: Mapping[str, Any]) -> dsl.PipelineTask:
    """Sets what is the same for each pod: its cache is TFX's, and the volume and the secret are mounted."""
    task.set_caching_options(False)
    task.set_display_name(name)
    if settings["volume_claim"]:
        kubernetes.mount_pvc(task, settings["volume_claim"], settings["mount_path"])
    if settings["secret"]:
        kubernetes.use_secret_as_volume(task, settings["secret"], settings["secret_path"])
    # The user of the image, see Dockerfile.
    return kubernetes.set_security_context(task, run_as_user=10001, run_as_group=10001, run_as_non_root=True)


def _add_resources(task: dsl.PipelineTask, settings: Mapping[str, Any]) -> None:
    if settings["cpu"]:
        task.set_cpu_request(settings["cpu"]).set_cpu_limit(settings["cpu"])
    if settings["memory"]:
        task.set_memory_request(settings["memory"]).set_memory_limit(settings["memory"])
    if settings["accelerator"]:
        task.set_accelerator_type(settings["accelerator"]).set_accelerator_limit(settings["accelerator_count"])


def _declare(function: Callable, defaults: Mapping[str, Any], **types: type) -> None:
    """Gives a function the signature that kfp reads: all parameters are texts unless `types` says otherwise."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, kind, default=default, annotation=types.get(name, str))
            for name, default in defaults.items()
        ]
    )


def submit(client: Client, request: Mapping[str, Any]) -> str:
    """Starts a run and returns its id."""
    run = client.create_run_from_pipeline_package(
        request["file"],
        arguments=request["values"],
        run_name=request["title"],
        experiment_name=request["experiment"],
        namespace=request["namespace"],
        pipeline_root=request["pipeline_root"],
    )
    return run.run_id


def schedule(client: Client, request: Mapping[str, Any]) -> str:
    """Starts runs on a schedule, one at a time, in place of the schedules of the same name, and returns its id."""
    namespace = request["namespace"]
    experiment = client.create_experiment(request["experiment"], namespace=namespace).experiment_id
    listed = client.list_recurring_runs(page_size=_PAGE, experiment_id=experiment, namespace=namespace)
    before = [one for one in listed.recurring_runs or [] if one.display_name == request["name"]]
    made = client.create_recurring_run(
        experiment,
        request["name"],
        description=request["title"],
        cron_expression=request["cron"],
        max_concurrency=1,
        # After a pause, start one run instead of all missed ones: each would ingest the same latest span.
        no_catchup=True,
        params=request["values"],
        pipeline_package_path=request["file"],
        pipeline_root=request["pipeline_root"],
    )
    for one in before:
        client.delete_recurring_run(one.recurring_run_id)
    return made.recurring_run_id


def main() -> None:
    """Answers one request: compile, submit or schedule."""
    request, answer = json.load(sys.stdin), None
    try:
        # kfp prints links and warnings of its own.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            if request["action"] == "compile":
                compile_pipeline(request["plan"], request["parameters"], request["file"])
            else:
                namespace = request["namespace"] or "kubeflow"
                client = Client(host=request["host"], namespace=namespace, existing_token=request["token"])
                answer = {"submit": submit, "schedule": schedule}[request["action"]](client, request)
    except ApiException as error:
        sys.stderr.write(f"refused: {error.status} {error.reason}: {error.body}")
        sys.exit(_REFUSED)
    except HTTPError as error:
        sys.stderr.write(f"stopped answering: {error}; try again")
        sys.exit(_REFUSED)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
