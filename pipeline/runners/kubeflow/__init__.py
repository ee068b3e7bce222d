"""Runs the pipeline on Kubeflow Pipelines: `client` checks and sends, `kfp_script` runs in the environment of kfp."""
