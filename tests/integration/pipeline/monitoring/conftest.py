"""Fixtures: settings and simulated request logs."""

from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    from tests.support.simulated_traffic import Pool

    return Pool(tmp_path_factory.mktemp("pool") / "synthetic")


@pytest.fixture
def settings(tmp_path):
    from pipeline.settings import Settings

    root = {"pipeline": {"root": str(tmp_path / "runs")}, "pusher": {"destination": str(tmp_path / "serving")}}
    return Settings.model_validate(root)


@pytest.fixture
def watch(settings, pool, tmp_path):
    """Returns a function that simulates logs and monitors them: watch(hours=, seed=, …) -> Report."""
    from pipeline.monitoring.monitor import monitor
    from tests.support.simulated_traffic import NOW, write_logs

    def watched(**options):
        write_logs(pool, tmp_path / "logs", **options)
        return monitor(settings, [tmp_path / "logs"], None, version=None, now=NOW)

    return watched


@pytest.fixture
def hour_of():
    """Returns a function that converts a report's time to the hour of the simulation."""
    from tests.support.simulated_traffic import START

    start = datetime.fromtimestamp(START, UTC)
    return lambda moment: (datetime.fromisoformat(moment) - start) / timedelta(hours=1)
