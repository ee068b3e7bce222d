import re
import shutil

import filelock
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from serving.audit.signature import read_public_key, signature_flaw, signer
from serving.promotion import Deployment, PromotionError, Served, end_canary, promote, prune, roll_back


def test_without_a_config_file_the_highest_whole_version_is_in_production(deployment, push):
    push(deployment.directory, 4, whole=False)
    assert deployment.served() == Served(frozenset({3}), {})
    assert deployment.served().production_version == 3


def test_a_promoted_version_has_the_label_and_is_loaded(deployment, me):
    promote(deployment, 3, "stable", me)
    assert deployment.served() == Served(frozenset({3}), {"stable": 3})


def test_the_version_that_was_in_production_stays_loaded_for_a_roll_back(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    assert deployment.served() == Served(frozenset({1, 2}), {"stable": 2})


def test_a_higher_version_does_not_stay_loaded(deployment, me):
    promote(deployment, 3, "stable", me)
    promote(deployment, 1, "stable", me)
    assert deployment.served() == Served(frozenset({1}), {"stable": 1})


def test_a_canary_is_loaded_next_to_stable_and_its_previous_version(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    assert deployment.served() == Served(frozenset({1, 2, 3}), {"stable": 2, "canary": 3})
    assert deployment.served().unlabelled_version == 3


def test_a_canary_that_becomes_stable_keeps_its_label(deployment, me):
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    promote(deployment, 3, "stable", me)
    assert deployment.served() == Served(frozenset({2, 3}), {"stable": 3, "canary": 3})


def test_the_canary_can_be_ended(deployment, me):
    assert end_canary(deployment, me) is None
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    record = end_canary(deployment, me)
    assert (record.label, record.from_version, record.to_version) == ("canary", 3, None)
    assert deployment.served() == Served(frozenset({1, 2}), {"stable": 2})
    assert roll_back(deployment, None, me).to_version == 1


def test_a_canary_that_is_also_stable_stays_loaded_when_it_is_ended(deployment, me):
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    promote(deployment, 3, "stable", me)
    end_canary(deployment, me)
    assert deployment.served() == Served(frozenset({2, 3}), {"stable": 3})


def test_a_label_that_is_there_already_changes_and_records_nothing(deployment, me):
    promote(deployment, 3, "stable", me)
    before = deployment.config_path.stat().st_mtime_ns
    assert promote(deployment, 3, "stable", me) is None
    assert deployment.config_path.stat().st_mtime_ns == before
    assert len(deployment.records.all()) == 1


def test_a_roll_back_returns_to_the_previous_production_version(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 3, "stable", me)
    record = roll_back(deployment, None, me)
    assert (record.from_version, record.to_version) == (3, 1)
    assert deployment.served() == Served(frozenset({1}), {"stable": 1})


def test_roll_backs_go_further_and_further_back(deployment, me):
    for version in (1, 2, 3):
        promote(deployment, version, "stable", me)
    assert roll_back(deployment, None, me).to_version == 2
    assert deployment.served().versions == {1, 2}
    assert roll_back(deployment, None, me).to_version == 1
    with pytest.raises(PromotionError, match="name one with --to"):
        roll_back(deployment, None, me)


def test_a_roll_back_takes_the_canary_label_off_the_version_that_is_left(deployment, me):
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    promote(deployment, 3, "stable", me)
    roll_back(deployment, None, me)
    assert deployment.served() == Served(frozenset({2}), {"stable": 2, "canary": 2})


def test_a_roll_back_leaves_another_canary_where_it_is(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    roll_back(deployment, None, me)
    assert deployment.served() == Served(frozenset({1, 3}), {"stable": 1, "canary": 3})


EACH_PUSH_AT_ONCE = "model_config_list { config { name: 'agnews' base_path: '/models/agnews' } }"


def test_a_roll_back_without_records_leads_to_the_next_lower_whole_version(deployment, push, me):
    deployment.config_path.write_text(EACH_PUSH_AT_ONCE)
    push(deployment.directory, 9, whole=False)
    assert roll_back(deployment, None, me).to_version == 2
    assert deployment.served() == Served(frozenset({2}), {"stable": 2})


def test_a_roll_back_can_be_given_its_version(deployment, me):
    promote(deployment, 3, "stable", me)
    assert roll_back(deployment, 1, me).to_version == 1


def test_a_roll_back_works_although_the_canarys_directory_is_gone(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "canary", me)
    (deployment.directory / "3/saved_model.pb").unlink()
    roll_back(deployment, None, me)
    assert deployment.served() == Served(frozenset({1}), {"stable": 1, "canary": 1})


def test_a_former_version_that_is_gone_is_not_replaced_by_a_guess(deployment, me):
    promote(deployment, 2, "stable", me)
    promote(deployment, 3, "stable", me)
    (deployment.directory / "2/saved_model.pb").unlink()
    with pytest.raises(PromotionError, match=r"version 2, in production before 3, is not there any more; .*--to 1"):
        roll_back(deployment, None, me)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, "stable"), "has no version 7; there are: 1, 2, 3, 4, 5"),
        ((4, "stable"), "4 cannot be served: it has no saved_model.pb; push the model again"),
        ((5, "stable"), "5 cannot be served: its variables are incomplete"),
        ((3, "canary"), "first: agnews versions promote 3 --label stable"),
    ],
)
def test_what_cannot_be_served_is_refused_and_nothing_is_changed_or_recorded(deployment, push, me, arguments, message):
    push(deployment.directory, 4, whole=False)
    (push(deployment.directory, 5) / "variables/variables.data-00000-of-00001").unlink()
    with pytest.raises(PromotionError, match=re.escape(message)):
        promote(deployment, *arguments, me)
    assert not deployment.config_path.exists()
    assert deployment.records.all() == []


def test_a_label_without_a_whole_version_refuses_a_promotion(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "canary", me)
    (deployment.directory / "2/saved_model.pb").unlink()
    with pytest.raises(PromotionError, match="canary is version 2, which does not exist or is incomplete"):
        promote(deployment, 3, "stable", me)


@pytest.mark.parametrize("version", [3, None])
def test_a_roll_back_to_where_one_is_or_to_nowhere_is_refused(deployment, me, version):
    deployment.config_path.write_text(EACH_PUSH_AT_ONCE)
    for number in (1, 2):
        (deployment.directory / f"{number}/saved_model.pb").unlink()
    with pytest.raises(PromotionError, match=r"in production already|known to have served well before 3"):
        roll_back(deployment, version, me)


def test_without_the_file_there_is_nothing_to_roll_back(deployment, me):
    with pytest.raises(
        PromotionError, match=r"models\.config is not there .* agnews versions promote VERSION --label stable"
    ):
        roll_back(deployment, None, me)
    assert promote(deployment, 1, "stable", me).from_version is None


def test_a_missing_directory_is_named(tmp_path, store, me):
    with pytest.raises(PromotionError, match="nowhere: no model has been pushed there"):
        promote(Deployment(tmp_path, "nowhere", store), 1, "stable", me)


def test_a_record_says_who_when_why_and_from_what_to_what(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    record = deployment.records.all()[-1]
    assert (record.action, record.label, record.from_version, record.to_version) == ("promote", "stable", 1, 2)
    assert (record.who, record.why, record.state) == ("me@here", "because", "COMPLETE")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.when)


def test_a_record_has_the_models_artifacts_as_its_inputs(deployment, push, store, me):
    model, pushed = _record_a_push(store, "4")
    push(deployment.directory, 4, model_id=model)
    record = promote(deployment, 4, "stable", me)
    events = store.get_events_by_execution_ids([record.id])
    assert {event.artifact_id for event in events} == {model, pushed}
    assert {event.type for event in events} == {mlmd.Event.INPUT}


def test_another_stores_model_id_is_not_taken_for_lineage(deployment, push, store, me):
    model, _ = _record_a_push(store, "8")
    push(deployment.directory, 4, model_id=model)
    push(deployment.directory, 5, model_id=12_345)
    for version in (4, 5):
        record = promote(deployment, version, "stable", me)
        assert store.get_events_by_execution_ids([record.id]) == []


def _record_a_push(store, version):
    """Records what TFX's Pusher stores; returns the ids of Model and PushedModel."""
    kinds = {name: store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in ("Model", "PushedModel")}
    model = mlmd.Artifact(type_id=kinds["Model"], uri="model")
    pushed = mlmd.Artifact(type_id=kinds["PushedModel"], uri="pushed")
    pushed.custom_properties["pushed_version"].string_value = version
    pusher = mlmd.Execution(type_id=store.put_execution_type(mlmd.ExecutionType(name="Pusher")))
    inputs_and_outputs = [(model, mlmd.Event(type=mlmd.Event.INPUT)), (pushed, mlmd.Event(type=mlmd.Event.OUTPUT))]
    _, ids, _ = store.put_execution(pusher, inputs_and_outputs, [])
    return ids


def test_other_models_in_the_file_stay_as_they_are(deployment, me):
    deployment.config_path.write_text(
        "model_config_list { config { name: 'other' base_path: '/elsewhere' model_version_policy { all {} } }"
        " config { name: 'agnews' base_path: '/models/agnews' model_platform: 'tensorflow' } }"
    )
    promote(deployment, 2, "stable", me)
    text = deployment.config_path.read_text()
    assert '"/elsewhere"' in text
    assert "all {\n" in text
    assert '"/models/agnews"' in text  # The server's path may differ from the path here.


def test_another_user_can_read_the_file_under_any_umask(umask, store, push, me, open_directory, read_as_another_user):
    for number in (1, 2, 3):
        push(open_directory / "agnews", number)
    deployment = Deployment(open_directory, "agnews", store, pause=lambda seconds: None)
    modes = {path: path.stat().st_mode for path in open_directory.rglob("*")}
    changes = (
        lambda: promote(deployment, 2, "stable", me),
        lambda: promote(deployment, 3, "stable", me),
        lambda: roll_back(deployment, None, me),
        lambda: prune(deployment, 2, me),
    )
    for change in changes:
        change()
        read_as_another_user(deployment.config_path)
        assert oct(deployment.audit.path.stat().st_mode & 0o777) == "0o640"
    assert oct((open_directory / ".promotion.lock").stat().st_mode & 0o777) == "0o640"
    assert {path: path.stat().st_mode for path in modes if path.exists()}.items() <= modes.items()


@pytest.mark.parametrize("text", ["model_config_list { config { nam: 'agnews' } }", "custom_model_config {}"])
def test_a_file_that_is_no_config_is_left_alone(deployment, me, text):
    deployment.config_path.write_text(text)
    with pytest.raises(PromotionError, match=r"models\.config"):
        promote(deployment, 3, "stable", me)
    assert deployment.config_path.read_text() == text


def test_another_command_is_waited_for_and_then_named(deployment, me, monkeypatch):
    monkeypatch.setattr("serving.promotion.deployment._LOCK_SECONDS", 0.05)
    with (
        filelock.FileLock(deployment.config_path.with_name(".promotion.lock")),
        pytest.raises(PromotionError, match="another command is changing"),
    ):
        promote(deployment, 3, "stable", me)


def test_polling_servers_load_a_version_before_a_label_moves_to_it(deployment, server, me):
    deployment.config_path.write_text("")
    promote(deployment, 3, "stable", me)
    server.poll(deployment.config_path)
    waits = []

    def pause(seconds):
        waits.append(seconds)
        server.poll(deployment.config_path)
        assert server.labels == {"stable": 3}
        assert server.loaded == {2, 3}

    deployment.pause = pause
    promote(deployment, 2, "stable", me)
    server.poll(deployment.config_path)
    assert (server.labels, server.loaded, server.refusals) == ({"stable": 2}, {2}, [])
    assert waits == [deployment.poll_seconds]


def test_a_version_that_is_loaded_already_is_not_waited_for(deployment, me):
    promote(deployment, 1, "stable", me)
    promote(deployment, 2, "stable", me)
    deployment.pause = lambda seconds: pytest.fail("waited")
    roll_back(deployment, None, me)


def test_an_interrupted_wait_puts_the_file_back(deployment, me):
    promote(deployment, 1, "stable", me)
    text = deployment.config_path.read_text()

    def interrupt(seconds):
        raise KeyboardInterrupt

    deployment.pause = interrupt
    with pytest.raises(KeyboardInterrupt):
        promote(deployment, 2, "stable", me)
    assert deployment.config_path.read_text() == text
    assert deployment.records.all()[-1].state == "CANCELED"


def test_a_server_is_notified_at_once(served_by, server, me):
    promote(served_by, 1, "stable", me)
    assert (server.labels, server.loaded, server.refusals) == ({"stable": 1}, {1}, [])


def test_a_version_that_cannot_be_loaded_changes_nothing_for_clients(served_by, server, me):
    promote(served_by, 1, "stable", me)
    text = served_by.config_path.read_text()
    server.broken = {2}
    with pytest.raises(PromotionError, match=r"cannot load version 2\nmodels.config is as it was"):
        promote(served_by, 2, "stable", me)
    assert served_by.config_path.read_text() == text
    assert (server.labels, server.loaded) == ({"stable": 1}, {1})
    record = served_by.records.all()[-1]
    assert (record.state, record.detail) == ("FAILED", "cannot load version 2")


def test_a_server_that_does_not_answer_is_reported_and_the_file_restored(served_by, server, me):
    server.unreachable = True
    with pytest.raises(PromotionError, match="UNAVAILABLE"):
        promote(served_by, 1, "stable", me)
    assert not served_by.config_path.exists()
    assert served_by.records.all()[-1].state == "FAILED"


def test_a_broken_production_version_does_not_block_the_next_one(served_by, server, me):
    promote(served_by, 1, "stable", me)
    server.broken, server.loaded = {1}, set()
    promote(served_by, 2, "stable", me)
    assert (server.labels, server.loaded) == ({"stable": 2}, {2})


def test_what_is_in_production_without_a_label_is_asked_of_the_server(served_by, server, me):
    server.loaded = {2}  # Version 3 exists but failed to load.
    record = promote(served_by, 1, "stable", me)
    assert record.from_version == 2


@pytest.mark.parametrize("change", ["differs", "extra", "link", "nobody", "spelling"])
def test_a_version_that_is_not_as_it_was_pushed_is_refused(deployment, directory, me, push, change):
    graph = directory / "2/saved_model.pb"
    if change == "differs":
        graph.write_bytes(b"Graph")
    elif change == "extra":
        (directory / "2/more.so").touch()
    elif change == "link":
        graph.rename(directory / "graph")
        graph.symlink_to(directory / "graph")
    elif change == "nobody":
        log = deployment.audit.path
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:1]))
    else:
        shutil.copytree(directory / "2", directory / "02")
    with pytest.raises(PromotionError, match=r"2 is not what was pushed: .*Nothing was changed"):
        promote(deployment, 2, "stable", me)
    assert not deployment.config_path.exists()
    promote(deployment, 1, "stable", me)
    with pytest.raises(PromotionError, match="is not what was pushed"):
        roll_back(deployment, 2, me)


def test_with_a_public_key_only_signed_versions_are_promoted(deployment, directory, me, key_files):
    private, public = key_files()
    deployment.public_key, deployment.sign = read_public_key(public), signer(private)
    with pytest.raises(PromotionError, match="not signed"):
        promote(deployment, 2, "stable", me)
    push = deployment.audit.last_push("agnews", 2)
    deployment.audit.append(push, deployment.sign)
    promote(deployment, 2, "stable", me)
    [*_, line] = deployment.audit.lines()
    assert signature_flaw(deployment.public_key, line.entry) is None
