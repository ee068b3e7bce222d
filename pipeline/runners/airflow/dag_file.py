"""DAG file: put a link to it, or a copy with other arguments for `load`, into Airflow's dags_folder."""

from pipeline.runners.airflow.dag import build_dag
from pipeline.settings.sources import load

dag = build_dag(load().settings)
