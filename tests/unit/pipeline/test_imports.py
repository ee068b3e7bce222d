"""Tests what modules import that commands need at once."""

import subprocess
import sys

import pytest

from tests.support import ROOT


@pytest.mark.parametrize(
    "module", ["pipeline.metadata.deleted_artifacts", "pipeline.metadata.versions", "pipeline.monitoring.canary_report"]
)
def test_reading_records_and_comparing_answers_needs_no_tensorflow(module):
    """TensorFlow Extended takes ten seconds to import."""
    code = (
        f"import sys, {module}; print([name for name in ('tensorflow', 'tfx', 'apache_beam') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert shown == "[]\n"
