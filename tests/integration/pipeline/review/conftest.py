"""Fixtures: a metadata store of twelve simulated runs, two of whose models are served, and its site."""

import pytest

from benchmarks.review_store import SimulatedStore
from pipeline.metadata.store_reader import StoreReader
from pipeline.monitoring.archive import report_path, reports_directory
from pipeline.monitoring.page import write_report
from tests.support.review_site import ALERT, LABELLED, report_on, serving, settings_of, waiting_store

RUNS = 12


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Runs 0 to 4, 10 and 11 are pushed, 5 cached, 6 not blessed, 7 failed, 8 waiting, 9 rejected."""
    made = SimulatedStore(tmp_path_factory.mktemp("simulated"), files=RUNS, test_rows=120, exports=True)
    made.add_runs(RUNS)
    made.versions = made.serve(made.root / "serving_model", 2)
    (made.root / "logs").mkdir()
    (made.root / "logs/local-000007.log").write_text("07:00:00 ValidationGate: failed\n" * 3)
    for day, alerts, quality in ((1, (), None), (2, (ALERT,), LABELLED)):
        report = report_on(made.versions[-1], f"2026-01-0{day}T06:00:00+00:00", alerts, quality)
        write_report(report, report_path(reports_directory(settings_of(made.root)), report))
    return made


@pytest.fixture(scope="session")
def snapshot(simulated):
    return StoreReader(simulated.connection).snapshot()


@pytest.fixture(scope="session")
def settings(simulated):
    return settings_of(simulated.root)


@pytest.fixture(scope="session")
def site(settings):
    """A client of the simulated store's site; tests that record decisions use `decidable` instead."""
    with serving(settings) as client:
        yield client


@pytest.fixture
def decidable(tmp_path):
    """A separate store for tests that record a decision."""
    return waiting_store(tmp_path / "place")
