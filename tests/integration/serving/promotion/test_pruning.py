import pytest

from serving.promotion import PromotionError, promote, prune, roll_back


def left(deployment):
    return sorted(path.name for path in deployment.directory.iterdir())


def test_the_highest_versions_stay(deployment, me):
    pruned = prune(deployment, 2, me)
    assert (list(pruned.removed), left(deployment)) == ([1], ["2", "3"])
    assert pruned.removed[1] == len(b"graph" + b"index" + b"data")


def test_a_dry_run_says_the_same_and_deletes_and_records_nothing(deployment, me):
    dry = prune(deployment, 1, me, dry_run=True)
    assert (left(deployment), deployment.records.all()) == (["1", "2", "3"], [])
    assert prune(deployment, 1, me) == dry


def test_what_is_served_labelled_or_gone_back_to_stays(deployment, push, me):
    for number in (4, 5, 6):
        push(deployment.directory, number)
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "stable", me)
    promote(deployment, 4, "canary", me)
    pruned = prune(deployment, 1, me)
    assert left(deployment) == ["2", "3", "4", "6"]
    assert pruned.kept == {
        2: "served, by models.config",
        3: "labelled stable",
        4: "labelled canary",
        6: "one of the 1 highest",
    }


def test_a_higher_former_version_stays_although_it_is_not_loaded(deployment, push, me):
    push(deployment.directory, 4)
    promote(deployment, 3, "stable", me)
    promote(deployment, 1, "stable", me)
    assert prune(deployment, 1, me).kept[3] == "agnews versions rollback leads to it"
    assert roll_back(deployment, None, me).to_version == 3


def test_what_the_server_still_has_loaded_stays(served_by, server, me):
    promote(served_by, 3, "stable", me)
    server.loaded = {1, 3}
    assert prune(served_by, 1, me).kept[1] == "loaded by the server"


def test_a_policy_that_serves_all_versions_leaves_nothing_to_delete(deployment, me):
    deployment.config_path.write_text("model_config_list { config { name: 'agnews' model_version_policy { all {} } } }")
    assert prune(deployment, 1, me).removed == {}


def test_a_push_under_way_stays_and_does_not_count(deployment, push, me):
    push(deployment.directory, 4, whole=False)
    assert list(prune(deployment, 2, me).removed) == [1]
    assert left(deployment) == ["2", "3", "4"]


def test_each_deleted_version_is_recorded(deployment, me):
    prune(deployment, 1, me)
    records = deployment.records.all()
    assert [(record.action, record.from_version, record.state) for record in records] == [
        ("prune", 1, "COMPLETE"),
        ("prune", 2, "COMPLETE"),
    ]


def test_a_version_that_cannot_be_deleted_is_named_and_recorded(deployment, me, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("serving.promotion.changes.shutil.rmtree", refuse)
    with pytest.raises(PromotionError, match=r"version 1 cannot be deleted: .*Permission denied"):
        prune(deployment, 2, me)
    assert deployment.records.all()[-1].state == "FAILED"
