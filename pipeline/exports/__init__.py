"""Writes what the metadata store knows in the formats of other tools: OpenLineage and MLflow."""
