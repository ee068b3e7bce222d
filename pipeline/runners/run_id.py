"""Creates names of local runs."""

import datetime

PREFIX = "local-"


def new_run_id() -> str:
    """Returns a run id with the prefix of the local runner; run ids sort by time."""
    return PREFIX + datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
