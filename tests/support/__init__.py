"""What several tests use: a sandbox for whole runs, servers, certificates, browsers, databases, simulated data."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
