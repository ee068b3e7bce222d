"""The DAG file runs where nothing of this project is installed; tests/integration has it in Airflow."""

import ast
import sys

from tests.support import ROOT

FILE = ROOT / "pipeline/runners/airflow/dag_file.py"


def imported_packages(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_the_dag_file_imports_airflow_and_the_standard_library_alone():
    others = set(imported_packages(FILE)) - sys.stdlib_module_names
    # Airflow's provider for Kubernetes brings the client.
    assert others == {"airflow", "kubernetes"}
