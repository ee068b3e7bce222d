"""The review site: shows the evidence on every run and model of the metadata store in a browser."""
