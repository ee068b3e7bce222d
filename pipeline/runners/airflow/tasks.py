"""Runs the Airflow tasks; this is the part of the Airflow runner that imports TensorFlow Extended."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.orchestration.launcher.base_component_launcher import BaseComponentLauncher
from tfx.orchestration.portable import runtime_parameter_utils

from components.approval import Status
from components.example_gen import download, sources
from components.example_gen.sources import DataSource
from components.example_gen.spans import is_dated, span_of_date
from pipeline.beam.job_servers import stop_job_servers_on_exit
from pipeline.dag import create_pipeline
from pipeline.governance.approvals import StoredApprovals
from pipeline.governance.audit_check import audit_log
from pipeline.metadata.connection import connection_config, open_store
from pipeline.metadata.graph import run_outputs
from pipeline.metadata.runs import close_killed_executions, summarize
from pipeline.runners.component import launch
from pipeline.runners.preflight import check_source
from pipeline.settings import Settings
from schema.errors import RunError
from schema.files import file_lock, replace_file
from serving.this_machine import exempt_from_proxies

logger = logging.getLogger(__name__)

# Each operation gets half of the cores, as on the command line. TensorFlow reads the variable when it is first used.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
exempt_from_proxies()

_EXECUTION = metadata_store_pb2.Execution
_IR = "ir"


def compile_plan(settings: Settings) -> dict[str, list[str]]:
    """Returns the components in execution order, each with the components that it waits for.

    Components without dependencies wait for the first one, because it starts the run.
    """
    # The files do not affect the graph, but spans in the patterns do.
    patterns = settings.data.train_pattern or "train", settings.data.test_pattern or "test"
    compiled = Compiler().compile(create_pipeline(settings, DataSource(settings.data.path or "", *patterns, "path")))
    nodes = [node.pipeline_node for node in compiled.nodes]
    first = nodes[0].node_info.id
    return {node.node_info.id: list(node.upstream_nodes) or [first] * (node.node_info.id != first) for node in nodes}


def write_plan(file: str) -> None:
    """Writes the plan for the settings that standard input contains as JSON, unless `file` exists."""
    settings = Settings.model_validate_json(sys.stdin.read())
    plan = Path(file)
    with file_lock(plan.with_name(f"{plan.name}.lock")):
        if not plan.exists():
            replace_file(plan, json.dumps(compile_plan(settings)).encode())


def for_day(settings: Settings, day: date) -> Settings:
    """Returns the settings with the span of a day, or unchanged if the file patterns contain no span."""
    if not is_dated(settings.data.train_pattern or ""):
        return settings
    return settings.model_copy(update={"data": settings.data.model_copy(update={"span": span_of_date(day)})})


def run_component(settings: Settings, component: str, run_id: str, instance) -> None:
    """Runs one component with TFX's AirflowDagRunner.

    Args:
        settings: settings of the run's day.
        component: id of the component.
        run_id: name of the run in the metadata store.
        instance: Airflow's task instance.

    Raises:
        AgNewsError: the component rejected its input, or the span has no files.
        RunError: a required input does not exist.
    """
    from tfx.orchestration.airflow.airflow_dag_runner import AirflowDagRunner, AirflowPipelineConfig

    source = _source(settings)
    pipeline = create_pipeline(settings, source)
    ir = Compiler().compile(pipeline)
    if component == ir.nodes[0].pipeline_node.node_info.id:
        check_source(source, settings)
        settings.trainer.check_word_vectors()
        if settings.data.span is not None:
            source.check_span(settings.data.span)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    pipeline.additional_pipeline_args[_IR] = ir
    discard_killed(settings, component, instance.run_id)
    config = AirflowPipelineConfig({"schedule": None}, supported_launcher_classes=[NodeLauncher])
    task = AirflowDagRunner(config).run(pipeline).get_task(component)
    # Airflow ends a task's process without running exit handlers, so Beam would not stop its job servers.
    with _fields_in_messages(), stop_job_servers_on_exit():
        task.python_callable(ti=instance, **task.op_kwargs)


class NodeLauncher(BaseComponentLauncher):
    """Launches a component from the compiled pipeline, as the local runner does.

    The default launcher of AirflowDagRunner does not use compiled pipelines: it writes different contexts and cache
    keys into the metadata store, so the summary and the cache could not use its runs.
    """

    @classmethod
    def can_launch(cls, component_executor_spec, component_config) -> bool:
        """Returns whether this launcher supports the configuration: it supports the same as a local run."""
        return component_config is None

    def launch(self) -> None:
        """Runs the component.

        Raises:
            RunError: a required input does not exist.
        """
        component, ir = self._component_info.component_id, self._additional_pipeline_args[_IR]
        [node] = [node.pipeline_node for node in ir.nodes if node.pipeline_node.node_info.id == component]
        published = launch(ir, node, self._metadata_connection.connection_config)
        # If an input does not exist, the launcher publishes a failed execution and returns.
        if published.last_known_state == _EXECUTION.FAILED:
            raise RunError(
                "an input that it needs does not exist: clear the task that makes it, with what is downstream"
            )
        logger.info("ended", extra={"fields": {"state": _EXECUTION.State.Name(published.last_known_state)}})

    def _run_executor(self, *_):
        raise NotImplementedError("the compiled pipeline's own launcher runs it")


def awaited_approval(settings: Settings, run_id: str) -> str | None:
    """Returns a message with the status of a run's request and the next command, or None if the run can continue.

    Args:
        settings: settings with the metadata store, the audit log and the approval rules.
        run_id: name of the run in the metadata store.
    """
    store = open_store(connection_config(settings))
    artifact = run_outputs(store, run_id)["RequestApproval", "request"]
    model_id = artifact.custom_properties["model_id"].int_value
    for request in StoredApprovals(store, settings, audit_log(settings)).requests(datetime.now(UTC)):
        if request.model_id == model_id and request.status in (Status.PENDING, Status.EXPIRED):
            return f"{request.status}: agnews approve {model_id} --reason … (or agnews reject)"
    return None


def refusals(settings: Settings, run_id: str) -> list[str]:
    """Returns the reasons why a run did not push its model; empty if it did, or if an earlier run gave these reasons.

    Args:
        settings: settings with the metadata store.
        run_id: name of the run in the metadata store.
    """
    summary = summarize(connection_config(settings), run_id)
    return summary.refusals if summary.is_new_refusal(run_id) else []


def _source(settings: Settings) -> DataSource:
    data = settings.data
    return sources.resolve(
        data.path,
        data.train_pattern,
        data.test_pattern,
        cache=Path(data.cache),
        synthetic_rows=data.synthetic_rows,
        synthetic_seed=data.synthetic_seed,
        download=lambda directory: download.download(directory, lambda *_: None),
    )


def discard_killed(settings: Settings, component: str, dag_run_id: str) -> None:
    """Cancels the running executions that a killed try of this task left, and removes their unpublished outputs.

    Airflow runs one try at a time, so no such execution is alive. TFX can then execute the component again in this run.
    """
    name, root = settings.pipeline.name, f"{settings.pipeline.root}/{settings.pipeline.name}"
    close_killed_executions(open_store(connection_config(settings)), name, root, f"{dag_run_id}.", component)


@contextmanager
def _fields_in_messages() -> Iterator[None]:
    """Appends the fields of log records to their messages, because Airflow's task log shows only the message."""

    class WithFields(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = getattr(record, "fields", {})
            message = " ".join([record.getMessage(), *(f"{name}={value}" for name, value in fields.items())])
            logging.getLogger().handle(logging.makeLogRecord(record.__dict__ | {"msg": message, "args": None}))

    loggers = [logging.getLogger(name) for name in ("components", __name__)]
    handler = WithFields(logging.INFO)
    for source in loggers:
        source.addHandler(handler)
        source.propagate = False
    try:
        yield
    finally:
        for source in loggers:
            source.removeHandler(handler)
            source.propagate = True
