"""InfraValidator without containers: serves the export in a separate process and sends real requests to it.

`component.AgNewsInfraValidator` is the pipeline stage; `validate` starts the server and checks its responses.
"""
