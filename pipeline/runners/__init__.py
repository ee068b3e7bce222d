"""Runners of the pipeline that `pipeline.dag` builds, for each orchestrator: local, Airflow, and Kubeflow Pipelines."""
