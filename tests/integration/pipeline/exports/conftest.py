"""A metadata store of ten simulated runs of every outcome."""

import pytest

from benchmarks.review_store import SimulatedStore

RUNS = 10


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Runs 0 to 4 are pushed, 5 cached, 6 not blessed, 7 failed, 8 waiting, 9 rejected."""
    made = SimulatedStore(tmp_path_factory.mktemp("exported"), files=1, test_rows=8, exports=True)
    made.add_runs(RUNS)
    return made
