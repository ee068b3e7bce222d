"""Beam's Java engines: a job server a process, none that outlives a run, and workers that hold their output."""

from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam import Pipeline
from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.runners.portability import flink_runner, spark_runner
from apache_beam.runners.portability.job_server import JobServer
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineResult

from pipeline.beam.data_plane import send_without_limit

_FLINK_SERVERS: dict[str, JobServer] = {}


class _HoldingRunner(PortableRunner):
    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Runs it; a worker may be a thread of this process."""
        send_without_limit()
        return super().run_pipeline(pipeline, options)


class FlinkRunner(_HoldingRunner, flink_runner.FlinkRunner):
    """Beam's own, which starts a job server a pipeline and keeps them all: a Java machine for each stage of a run.

    Beam's SparkRunner keeps one, as this one does.
    """

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """The job server of these options, started where there is none yet."""
        determined_by = "".join(str(options.view_as(view)) for view in (FlinkRunnerOptions, JobServerOptions))
        if determined_by not in _FLINK_SERVERS:
            _FLINK_SERVERS[determined_by] = super().default_job_server(options)
        return _FLINK_SERVERS[determined_by]


class SparkRunner(_HoldingRunner, spark_runner.SparkRunner):
    """Beam's own, whose workers hold what Spark does not take yet."""


@contextmanager
def job_servers_stop_with_it() -> Iterator[None]:
    """Stops on leaving what Beam would stop when the process ends, and never where the process is killed by Ctrl-C."""
    try:
        yield
    finally:
        for servers in (_FLINK_SERVERS, spark_runner.JOB_SERVER_CACHE):
            while servers:
                servers.popitem()[1].stop()
