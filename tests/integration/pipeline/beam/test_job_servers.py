from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer

from pipeline.beam.job_servers import FlinkRunner, stop_job_servers_on_exit
from schema.child_process import bound_command


def options(jar):
    return PipelineOptions([f"--flink_job_server_jar={jar}", "--flink_master=[local]"])


def test_a_run_shares_a_job_server_and_other_options_get_another():
    with stop_job_servers_on_exit():
        server = FlinkRunner().default_job_server(options("a.jar"))
        assert FlinkRunner().default_job_server(options("a.jar")) is server
        assert FlinkRunner().default_job_server(options("b.jar")) is not server


def test_job_servers_are_stopped_on_leaving_and_the_next_run_gets_a_new_one(monkeypatch):
    stopped = []
    monkeypatch.setattr(FlinkJarJobServer, "start", lambda self: "address")
    monkeypatch.setattr(FlinkJarJobServer, "stop", lambda self: stopped.append(self))
    with stop_job_servers_on_exit():
        server = FlinkRunner().default_job_server(options("a.jar"))
        server.start()
        assert stopped == []
    assert len(stopped) == 1
    with stop_job_servers_on_exit():
        assert FlinkRunner().default_job_server(options("a.jar")) is not server


def test_a_job_server_is_started_so_that_it_ends_with_a_killed_run(tmp_path):
    (tmp_path / "server.jar").touch()
    flink = FlinkJarJobServer(options(tmp_path / "server.jar"))
    flink._local_temp_root = str(tmp_path)
    command, _ = flink.subprocess_cmd_and_endpoint()
    java = command.index(flink._java_launcher)
    assert command[:java] == bound_command([])
