"""Removal of old artifacts from a store of thirty simulated runs."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.review_store import SimulatedStore
from pipeline.cli import cli
from pipeline.governance import retention
from pipeline.metadata.connection import connection_config
from pipeline.metadata.store_reader import StoreReader
from pipeline.runners.local import exclusive
from schema.errors import DataError, RunError
from serving.audit import AUDIT_FILE, AuditLog
from tests.support.review_site import serving, settings_of, text

RUNS = 30
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    store = SimulatedStore(root, files=1, test_rows=8, exports=True)
    store.add_runs(RUNS)
    store.serve(root / "serving_model", 2)
    return store


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of the store at the path that its artifacts name."""
    shutil.copytree(made.root, tmp_path / "kept")
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", str(made.root))
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", str(made.root / "serving_model"))
    yield made.root
    for name in ("agnews", "serving_model"):
        shutil.rmtree(made.root / name)
        shutil.copytree(tmp_path / "kept" / name, made.root / name)
    shutil.copyfile(tmp_path / "kept/metadata.sqlite", made.root / "metadata.sqlite")


def run(*arguments):
    return CliRunner().invoke(cli, ["clean", "--older-than", "0", *arguments])


def exports(place):
    return sorted(int(path.name) for path in (place / "agnews/model").iterdir())


def snapshot(place):
    return StoreReader(connection_config(settings_of(place))).snapshot()


def models_of(place):
    """Returns the number of the run that made each model, by the model's id."""
    return {one.id: int(Path(one.uri).name) for one in snapshot(place).of_type("Model")}


def test_what_matters_still_has_its_files(place):
    before = exports(place)
    pushed = {int(path.name) - 1_700_000_000 for path in (place / "serving_model/agnews").iterdir()}
    ended = run("--keep-runs", "1", "--by", "ann")
    assert ended.exit_code == 0, ended.output
    after = exports(place)
    assert pushed < set(after) < set(before)
    # Runs 8, 18 and 28 wait for an approval; 29 is the newest run.
    assert set(after) >= {8, 18, 28, 29}
    # Run 6 was not blessed, and 9 was rejected. Run 26 was not blessed either; that it was compared with run 24, which
    # is pushed, is no reason to keep it.
    assert not set(after) & {6, 9, 26}
    [entry] = [
        line.entry for line in AuditLog(place / f"serving_model/{AUDIT_FILE}").lines() if line.entry.action == "clean"
    ]
    assert (entry.by, entry.details["artifacts"] > 20) == ("ann", True)


def test_removed_artifacts_are_marked_and_say_when(place):
    run("--keep-runs", "1")
    today = datetime.now(UTC).date().isoformat()
    [model] = [model for model, run_number in models_of(place).items() if run_number == 6]
    with serving(settings_of(place)) as client:
        assert f"(removed on {today})" in text(client.get(f"/lineage/{model}"))
        assert client.get(f"/models/{model}").status_code == 200


def test_a_dry_run_changes_nothing(place):
    before, log = exports(place), (place / f"serving_model/{AUDIT_FILE}").read_bytes()
    ended = run("--keep-runs", "1", "--dry-run")
    assert "would remove" in ended.output
    assert (exports(place), (place / f"serving_model/{AUDIT_FILE}").read_bytes()) == (before, log)
    assert not any(one.removed for one in snapshot(place).artifacts.values())


@pytest.mark.parametrize("options", [("--keep-runs", str(RUNS)), ("--keep-runs", "1", "--older-than", "1")])
def test_recent_runs_are_kept(place, options):
    assert "nothing to remove" in run(*options).output


def test_a_killed_removal_is_finished_by_the_next(place, monkeypatch):
    settings, before = settings_of(place), exports(place)

    def killed(artifact):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_delete", killed)
        run("--keep-runs", "1")
    assert exports(place) == before
    marked = retention.unfinished_removal(snapshot(place), settings)
    assert marked
    run("--keep-runs", "1")
    assert retention.unfinished_removal(snapshot(place), settings) == []
    assert exports(place) != before


def test_nothing_is_removed_while_a_run_holds_the_root(place):
    before = exports(place)
    with exclusive(place):
        ended = run("--keep-runs", "1")
    assert isinstance(ended.exception, RunError)
    assert exports(place) == before


def test_a_root_without_runs_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", str(tmp_path / "none"))
    ended = run()
    assert isinstance(ended.exception, DataError)
    assert "set pipeline.root, or run agnews run" in str(ended.exception)
