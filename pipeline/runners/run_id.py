"""Creates names of local runs."""

import datetime

PREFIX = "local-"
COMPARISON = "-compare"
"""End of the names of runs that prepare the data of `agnews compare`."""


def new_run_id(ending: str = "") -> str:
    """Returns a run id with the prefix of the local runner; run ids sort by time."""
    return PREFIX + datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ") + ending
