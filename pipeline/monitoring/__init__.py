"""Detects drift and skew in a served model's request logs.

`monitor.monitor()` reads the logs (`observations`), finds the model's training data (`reference`), compares both and
each time window with earlier ones (`detection`), and returns a `Report`. `page` writes a report, `archive` finds stored
ones.
"""
