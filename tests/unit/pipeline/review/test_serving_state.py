"""Which version was in production when."""

from types import SimpleNamespace

from pipeline.review.serving_state import ServingState, find_service_periods
from serving.promotion import Record


def move(version, minute, action="promote"):
    return Record(action, "stable", None, version, "ann", f"1970-01-01T00:{minute:02}:00+00:00", state="COMPLETE")


def periods(pushes, *records):
    """Returns version, begin and end in minutes."""
    index = SimpleNamespace(
        push_times={version: 60.0 * minute for version, minute in pushes.items()}, by_version={2: "model"}
    )
    return [
        (one.version, one.since / 60, one.until and one.until / 60)
        for one in find_service_periods(ServingState(records=records), index)
    ]


def test_without_a_label_each_push_of_a_higher_version_begins_a_period():
    assert periods({1: 5, 3: 7, 2: 9}) == [(1, 5, 7), (3, 7, None)]


def test_with_the_label_stable_only_its_moves_change_production():
    moves = move(2, 6), move(3, 8), move(2, 9, "rollback")
    assert periods({1: 1, 2: 2, 3: 7, 4: 9}, *moves) == [(1, 1, 2), (2, 2, 8), (3, 8, 9), (2, 9, None)]


def test_no_push_is_no_period():
    assert periods({}) == []
