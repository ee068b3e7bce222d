"""Kubeflow Pipelines: compiling to a file (`compiler`), handing it over (`client`), and what the pods run (`pod`)."""
