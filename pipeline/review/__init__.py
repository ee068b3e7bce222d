"""The review site: the evidence on every run and model in a browser, over the metadata store."""
