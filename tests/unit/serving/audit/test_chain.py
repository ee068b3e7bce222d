"""Tampers with a log of a few entries at random places."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.audit import AuditLog, Entry, problems


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Returns the lines of a log."""
    log = AuditLog(tmp_path_factory.mktemp("log") / "audit.jsonl")
    for number in range(6):
        log.append(Entry("push", "agnews", number, by="ann@here", why=f"reason {number}"))
    return log.path.read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory, raw):
    """Returns the problems of a log with the given lines; the original's last hash may be expected."""
    log = AuditLog(tmp_path_factory.mktemp("tampered") / "audit.jsonl")
    log.path.write_bytes(b"".join(raw))
    last = {log.lines()[-1].hash: "a note"}

    def found(lines, *, expect_last):
        log.path.write_bytes(b"".join(lines))
        return problems(log, last if expect_last else {})

    return found


def test_an_untouched_log_has_no_problems(raw, found):
    assert found(raw, expect_last=True) == []


@given(st.data())
@settings(max_examples=200)
def test_any_changed_byte_before_the_last_line_is_found_by_the_chain_alone(raw, found, data):
    content = bytearray(b"".join(raw))
    place = data.draw(st.integers(0, len(content) - len(raw[-1]) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    assert found([bytes(content)], expect_last=False)


@given(st.data())
def test_removed_lines_are_found_and_at_the_end_by_what_is_known_elsewhere(raw, found, data):
    kept = data.draw(st.lists(st.integers(0, len(raw) - 1), unique=True, max_size=len(raw) - 1).map(sorted))
    lines = [raw[index] for index in kept]
    is_beginning = kept == list(range(len(kept)))
    assert bool(found(lines, expect_last=False)) != is_beginning
    if len(raw) - 1 not in kept:
        assert any("known from a note" in problem for problem in found(lines, expect_last=True))


@given(st.permutations(range(6)))
def test_any_other_order_is_found(raw, found, order):
    lines = [raw[index] for index in order]
    assert bool(found(lines, expect_last=False)) == (order != sorted(order))


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_repeated_line_is_found(raw, found, which, place):
    assert found([*raw[:place], raw[which], *raw[place:]], expect_last=False)


def test_a_changed_last_line_is_found_by_what_is_known_elsewhere(raw, found):
    changed = [*raw[:-1], raw[-1].replace(b"reason 5", b"reason 6")]
    assert found(changed, expect_last=False) == []
    assert found(changed, expect_last=True) != []


def test_a_recomputed_chain_is_found_by_what_is_known_elsewhere(raw, found, tmp_path):
    forged = AuditLog(tmp_path / "audit.jsonl")
    for number in range(6):
        forged.append(Entry("push", "agnews", number, by="ann@here", why="another reason"))
    lines = forged.path.read_bytes().splitlines(keepends=True)
    assert found(lines, expect_last=False) == []
    assert found(lines, expect_last=True) != []


def test_a_cut_last_line_is_reported_as_such(raw, found):
    assert "cut off after 20 bytes" in found([*raw[:-1], raw[-1][:20]], expect_last=False)[0]
