import re
import subprocess

from tests.support import ROOT


def test_help_lists_every_target_that_says_what_it_does():
    described = re.findall(r"^([^\s#][^:#]*):[^=].*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = [line.split()[1] for line in shown.splitlines()]
    assert listed == [name for names in described for name in names.split()]
    assert "job-server-flink" in listed


def test_stopping_an_airflow_that_was_never_installed_is_no_error(tmp_path):
    command = ["make", "--no-print-directory", "--file", ROOT / "Makefile", "airflow-stop"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Airflow does not run")
