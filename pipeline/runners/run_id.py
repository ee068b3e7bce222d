"""Names of local runs."""

import datetime

PREFIX = "local-"


def new_run_id() -> str:
    """A run id that sorts by time and names the local runner."""
    return PREFIX + datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
