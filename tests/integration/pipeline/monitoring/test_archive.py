"""Tests of the report archive."""

import pytest

from pipeline.monitoring.archive import prune, report_path, reports_directory, stored_reports
from pipeline.monitoring.page import write_report
from pipeline.monitoring.report import JSON_FILE
from pipeline.settings import Settings
from schema.errors import SettingsError
from tests.support.review_site import ALERT, report_on


def test_settings_determine_the_reports_directory(tmp_path):
    def of(**sections):
        return reports_directory(Settings.model_validate(sections))

    assert of(pipeline={"root": str(tmp_path)}) == tmp_path / "monitoring/agnews"
    assert of(monitoring={"directory": str(tmp_path)}, pusher={"model_name": "news"}) == tmp_path / "news"
    with pytest.raises(SettingsError, match=r"set monitoring\.directory to a local directory"):
        of(
            pipeline={"root": "s3://bucket/runs"},
            metadata={"backend": "mysql", "host": "h", "port": 1, "database": "d", "user": "u"},
        )
    with pytest.raises(ValueError, match="must be in a file system"):
        of(monitoring={"directory": "s3://bucket/reports"})


def test_reports_are_read_back_and_the_oldest_are_pruned(tmp_path):
    reports = [
        report_on(version, f"2026-01-0{day}T06:00:00+00:00", (ALERT,)) for day, version in ((1, 9), (2, 7), (3, 9))
    ]
    for report in reversed(reports):
        write_report(report, report_path(tmp_path, report))
    assert [one.read() for one in stored_reports(tmp_path)] == reports
    assert [one.moment for one in stored_reports(tmp_path, 9)] == ["20260101T060000.000Z", "20260103T060000.000Z"]
    prune(tmp_path, 2)
    assert [one.read() for one in stored_reports(tmp_path)] == reports[1:]
    prune(tmp_path, 2)
    assert len(stored_reports(tmp_path)) == 2


def test_an_unfinished_report_is_not_listed(tmp_path):
    report = report_on(3, "2026-01-01T06:00:00+00:00")
    write_report(report, report_path(tmp_path, report))
    (report_path(tmp_path, report) / JSON_FILE).unlink()
    assert stored_reports(tmp_path) == []


def test_a_report_in_another_format_is_listed_but_not_read(tmp_path):
    place = tmp_path / "3/20260101T060000.000Z"
    place.mkdir(parents=True)
    (place / JSON_FILE).write_text('{"model": "agnews"}')
    [stored] = stored_reports(tmp_path)
    assert stored.read() is None
