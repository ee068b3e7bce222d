"""Watches a pushed model by its request logs: has what is asked or answered changed?

`observations` reads the logs, `reference` finds what the model was trained and tested on, `distances` measures with
TensorFlow Data Validation, `significance` asks whether a distance may be chance, `judgement` decides, `report` is the
outcome, `page` and `plots` show it, `kept` finds it again.
"""

from pipeline.monitoring.monitor import monitor
from pipeline.monitoring.report import Alert, Comparison, Report, Window

__all__ = ["Alert", "Comparison", "Report", "Window", "monitor"]
