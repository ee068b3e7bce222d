import os
import subprocess
import sys

from tests.support import ROOT


def test_workers_of_beam_are_reached_without_the_proxy(dead_proxy):
    """With the proxy, Beam would wait for its workers forever."""
    code = """
import apache_beam as beam
from serving.this_machine import exempt_from_proxies
from tests.support import direct_runner
exempt_from_proxies()
options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
with beam.Pipeline(argv=[*direct_runner.options(), *options]) as pipeline:
    pipeline | beam.Create([1, 2]) | beam.Map(print)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)})
