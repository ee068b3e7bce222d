"""Two gigabytes out of one task: more than an engine takes, and a worker would hold, before the task has ended."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

MEGABYTES = 2000
PIPELINE = f"""
import os
import apache_beam as beam
from pipeline.beam.options import beam_arguments
from pipeline.beam.job_servers import stop_job_servers_on_exit
from pipeline.settings import BeamSettings

def rows(_):
    return ((number, os.urandom(1000) * 1000) for number in range({MEGABYTES}))

with stop_job_servers_on_exit(), beam.Pipeline(argv=beam_arguments(BeamSettings(runner="ENGINE"))) as pipeline:
    found = pipeline | beam.Create([0]) | beam.FlatMap(rows) | beam.GroupByKey() | beam.combiners.Count.Globally()
    found | beam.Map(lambda count: print("groups:", count))
"""


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    "engine", [pytest.param("flink", marks=pytest.mark.flink), pytest.param("spark", marks=pytest.mark.spark)]
)
def test_a_task_with_much_output_ends(engine, tmp_path):
    command = [sys.executable, "-c", PIPELINE.replace("ENGINE", engine)]
    environment = os.environ | {"PYTHONPATH": ROOT, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-5000:]
    assert f"groups: {MEGABYTES}" in ended.stdout
