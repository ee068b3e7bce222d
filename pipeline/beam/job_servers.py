"""Runs Beam's Java engines with one job server per process, which stops at the end of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam import Pipeline
from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.runners.portability import flink_runner, spark_runner
from apache_beam.runners.portability.job_server import JavaJarJobServer, JobServer
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineResult

from pipeline.beam.data_plane import keep_unsent_output_on_disk
from schema.child_process import bound_command

_FLINK_SERVERS: dict[str, JobServer] = {}


def _start_bound(server: JavaJarJobServer) -> tuple[list[str], str]:
    command, endpoint = _start_java(server)
    return bound_command(command), endpoint


# Beam has no extension point for this. A job server must not outlive a killed run.
_start_java = JavaJarJobServer.subprocess_cmd_and_endpoint
JavaJarJobServer.subprocess_cmd_and_endpoint = _start_bound


class _DiskRunner(PortableRunner):
    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Runs a pipeline with unsent output on disk, because a worker may be a thread of this process."""
        keep_unsent_output_on_disk()
        return super().run_pipeline(pipeline, options)


class FlinkRunner(_DiskRunner, flink_runner.FlinkRunner):
    """Beam's FlinkRunner, but all pipelines of a process use the same job server.

    Beam's own runner starts a job server, and so a Java process, for each stage of a run. Beam's SparkRunner reuses its
    job server.
    """

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """Returns the job server for these options, and starts it if necessary."""
        determined_by = "".join(str(options.view_as(view)) for view in (FlinkRunnerOptions, JobServerOptions))
        if determined_by not in _FLINK_SERVERS:
            _FLINK_SERVERS[determined_by] = super().default_job_server(options)
        return _FLINK_SERVERS[determined_by]


class SparkRunner(_DiskRunner, spark_runner.SparkRunner):
    """Beam's SparkRunner, but the unsent output of the workers waits on disk."""


@contextmanager
def stop_job_servers_on_exit() -> Iterator[None]:
    """Stops job servers at the end of the `with` block; Beam stops them at process exit, but not after Ctrl-C."""
    try:
        yield
    finally:
        for servers in (_FLINK_SERVERS, spark_runner.JOB_SERVER_CACHE):
            while servers:
                servers.popitem()[1].stop()
