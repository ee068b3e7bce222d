"""Monitoring finds simulated shifts in the right hour and raises no false alarm."""

import json
import re

import pytest

from pipeline.monitoring.page import write_report
from pipeline.monitoring.report import Alert


def test_a_week_without_a_shift_raises_no_alert(watch):
    report = watch(hours=168, seed=1)
    assert len(report.windows) == 168
    assert report.rows == pytest.approx(168 * 60, rel=0.05)
    # Every hour except the first has earlier windows.
    assert [bool(window.drift) for window in report.windows] == [False] + [True] * 167
    assert report.alerts == ()


@pytest.mark.parametrize(
    ("shift", "signal", "change"),
    [
        ("classes", "label", r"Sports: [67]\d % of answers, 2\d % in earlier windows"),
        ("vocabulary", "unknown_share", r"[\d.]+ % of the words, [\d.]+ % in earlier windows"),
        ("lengths", "text_length", r"mean length \d+ characters, \d+ in earlier windows"),
    ],
    ids=["classes", "vocabulary", "lengths"],
)
def test_a_shift_is_found_in_exactly_its_hours(watch, hour_of, shift, signal, change):
    report = watch(hours=96, seed=2, shift=shift, at=50, lasting=3)
    [alert] = report.alerts
    assert (alert.kind, alert.signal) == ("drift", signal)
    assert (hour_of(alert.since), hour_of(alert.until), alert.windows) == (50, 52, 3)
    assert alert.distance > alert.threshold
    assert alert.p_value < 1e-5
    assert re.fullmatch(change, alert.change)
    assert f"UTC, in 3 windows: {alert.change}; distance" in str(alert)


def test_a_lasting_shift_is_one_alert(watch, hour_of):
    report = watch(hours=60, seed=3, shift="lengths", at=48, lasting=100)
    [alert] = report.alerts
    assert (hour_of(alert.since), hour_of(alert.until)) == (48, 59)


def test_hours_with_too_few_texts_are_not_compared(watch):
    report = watch(hours=30, seed=4, texts_an_hour=5, shift="lengths", at=10)
    assert all(window.drift == () for window in report.windows)
    assert report.alerts == ()


def test_page_and_json_contain_the_alerts_and_load_nothing(watch, tmp_path):
    report = watch(hours=40, seed=2, shift="vocabulary", at=30)
    write_report(report, tmp_path / "out")
    written = json.loads((tmp_path / "out/monitoring.json").read_text())
    assert [Alert(**alert) for alert in written["alerts"]] == list(report.alerts)
    assert len(written["windows"]) == 40
    page = (tmp_path / "out/monitoring.html").read_text()
    assert report.alerts[0].change in page
    assert page.count("<desc ") == page.count("<svg ") == 4
    assert "changed in 3 windows, the first at 2026-01-06T06:00+00:00" in page
    assert "its lineage is unknown" in page
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert (tmp_path / "out/monitoring.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "monitoring.html",
        "monitoring.json",
        "monitoring.png",
    ]
