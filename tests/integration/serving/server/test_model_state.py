import pytest

from serving.server.model_state import Policy, select_versions

VERSIONS = {1: "/m/1", 2: "/m/2", 10: "/m/10"}


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (Policy(), [10]),
        (Policy(latest={"num_versions": 2}), [2, 10]),
        (Policy(all={}), [1, 2, 10]),
        (Policy(specific={"versions": [1, 3]}), [1]),
    ],
)
def test_the_policy_selects_versions(policy, wanted):
    assert sorted(select_versions(VERSIONS, policy, is_failing=lambda number: False)) == wanted


def test_a_failing_version_does_not_count_towards_latest():
    assert sorted(select_versions(VERSIONS, Policy(), is_failing=lambda number: number == 10)) == [2, 10]
