from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.approval import Decision, Rules, Status, describe_progress, judge
from components.approval.rules import postdated

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ONE = Rules(approvers=1, author_may_approve=False, expires_hours=24)
TWO = Rules(approvers=2, author_may_approve=False, expires_hours=24)


def decision(who, *, approved=True, hours_ago=1.0):
    when = (NOW - timedelta(hours=hours_ago)).isoformat()
    return Decision("f" * 64, approved, who, when, "because")


def status(*decisions, author="ann@here", rules=ONE, now=NOW):
    return judge(decisions, author, rules, now)


def test_without_a_decision_a_request_is_pending():
    assert status() is Status.PENDING


def test_one_other_person_is_enough_if_one_approver_is_required():
    assert status(decision("bob@here")) is Status.APPROVED


@pytest.mark.parametrize("who", ["ann@here", "ann@laptop", "ANN"])
def test_the_author_does_not_count_from_any_host(who):
    assert status(decision(who)) is Status.PENDING


def test_the_author_counts_if_the_rules_allow_it():
    assert status(decision("ann@here"), rules=Rules(1, True, 24)) is Status.APPROVED


def test_nobody_may_approve_the_model_of_an_unknown_author():
    assert status(decision("bob@here"), author="") is Status.PENDING
    assert status(decision("bob@here"), author="", rules=Rules(1, True, 24)) is Status.APPROVED


def test_two_approvals_by_one_person_count_once():
    assert status(decision("bob@here"), decision("bob@there"), rules=TWO) is Status.PENDING
    assert status(decision("bob@here"), decision("cem@here"), rules=TWO) is Status.APPROVED


def test_an_approval_expires_and_can_be_renewed():
    old = decision("bob@here", hours_ago=23)
    assert status(old) is Status.APPROVED
    assert status(old, now=NOW + timedelta(hours=1)) is Status.EXPIRED
    assert status(decision("bob@here", hours_ago=30), decision("bob@here")) is Status.APPROVED


def test_one_rejection_outweighs_all_approvals_and_does_not_expire():
    decisions = [decision("bob@here"), decision("cem@here"), decision("dot@here", approved=False, hours_ago=99)]
    assert status(*decisions) is Status.REJECTED


def test_the_author_can_reject():
    assert status(decision("bob@here"), decision("ann@here", approved=False)) is Status.REJECTED


def test_a_person_can_replace_their_decision():
    no, yes = decision("bob@here", approved=False, hours_ago=3), decision("bob@here", hours_ago=2)
    assert status(no, yes) is Status.APPROVED
    assert status(no, yes, decision("bob@here", approved=False, hours_ago=1)) is Status.REJECTED


def test_the_order_decides_which_decision_is_last_not_the_clocks():
    ahead, then = decision("bob@laptop", hours_ago=-0.05), decision("bob@server", approved=False, hours_ago=0.01)
    assert status(ahead, then) is Status.REJECTED
    assert status(then, ahead) is Status.APPROVED


def test_an_approval_dated_in_the_future_does_not_count_yet():
    early = decision("bob@here", hours_ago=-48)
    assert status(early) is Status.PENDING
    assert postdated([early], NOW) == [early]
    assert status(early, decision("cem@here")) is Status.APPROVED
    assert status(early, now=NOW + timedelta(hours=48)) is Status.APPROVED
    assert status(decision("bob@here", hours_ago=-48, approved=False)) is Status.REJECTED


def test_a_clock_that_is_slightly_ahead_is_accepted():
    assert status(decision("bob@here", hours_ago=-0.05)) is Status.APPROVED


_DECISIONS = st.lists(
    st.builds(decision, st.sampled_from(["ann@x", "bob@x", "bob@y", "cem@x", "dot@x"]), hours_ago=st.floats(0, 48)),
    max_size=8,
).map(lambda made: sorted(made, key=lambda one: datetime.fromisoformat(one.when)))


@given(_DECISIONS, st.integers(1, 3))
def test_approved_means_enough_recent_approvals_by_other_people(decisions, approvers):
    rules = Rules(approvers, False, 24)
    recent = {
        one.who.partition("@")[0] for one in decisions if NOW - datetime.fromisoformat(one.when) < timedelta(days=1)
    }
    assert (status(*decisions, rules=rules) is Status.APPROVED) == (len(recent - {"ann"}) >= approvers)


def test_rules_are_restored_from_json():
    assert Rules.from_json(TWO.to_json()) == TWO


@pytest.mark.parametrize(
    ("decisions", "text"),
    [
        ([], "0 of 2. 2 other people than the author ann@here must approve it."),
        (
            [decision("bob@here")],
            "1 of 2, by bob@here (claimed), valid until 2026-11-26 11:00 UTC. "
            "Another person than the author ann@here must approve it.",
        ),
        (
            [decision("bob@here"), decision("cem")],
            "2 of 2, by bob@here (claimed), cem (claimed), valid until 2026-11-26 11:00 UTC.",
        ),
        ([decision("bob", hours_ago=25)], "0 of 2. 2 other people than the author ann@here must approve it."),
        (
            [decision("bob"), decision("cem", approved=False)],
            "Rejected by cem. Only cem can withdraw this, with a later approval.",
        ),
    ],
)
def test_the_progress_says_who_approved_and_who_is_missing(decisions, text):
    assert describe_progress(decisions, "ann@here", TWO, NOW) == text


def test_the_progress_of_a_used_approval_has_no_end():
    assert (
        describe_progress([decision("bob", hours_ago=99)], "ann", ONE, NOW, was_used=True)
        == "1 of 1, by bob (claimed)."
    )


def test_the_progress_of_a_model_without_author_says_what_to_do():
    assert "train it again" in describe_progress([decision("bob")], "", ONE, NOW)
