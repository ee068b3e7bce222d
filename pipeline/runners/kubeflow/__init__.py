"""Runs the pipeline on Kubeflow Pipelines: `compiler` writes a file, `client` submits it, `pod` runs in the pods."""
