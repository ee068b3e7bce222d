"""The whole pipeline on the data in AG_NEWS_DIR: `make test-real`, some ten minutes on two cores."""

import os
import re

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(7200)]
DATA = os.path.abspath(os.environ.get("AG_NEWS_DIR", ""))


@pytest.fixture(scope="module")
def runs(workplace):
    if "AG_NEWS_DIR" not in os.environ:
        pytest.fail("set AG_NEWS_DIR to a directory that holds train.csv and test.csv")
    os.symlink(DATA, workplace.directory / "data")
    return [workplace.run(profile="default", timeout=3600) for _ in range(2)]


def test_a_blessed_model_is_pushed(runs, workplace):
    assert runs[0].status == 0
    assert [f"pushed as version {version}" in runs[0].output for version in workplace.versions] == [True]


def test_the_official_test_rows_are_classified_as_well_as_promised(runs):
    rows, accuracy = re.search(r"^all +([\d,]+) +([\d.]+)", runs[0].output, re.MULTILINE).groups()
    assert rows == "7,600"
    assert float(accuracy) >= 0.91


def test_no_row_of_the_real_data_is_bad(runs):
    assert "; 0 quarantined" in runs[0].output


def test_the_second_run_takes_everything_from_the_cache(runs):
    assert runs[1].status == 0
    states = {state for name, state in runs[1].states.items() if not name.endswith("Resolver")}
    assert states == {"cached"}
