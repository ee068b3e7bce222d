from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.promotion.record import Record, Records

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(who=TEXT, why=TEXT, texts=st.lists(TEXT, max_size=3))
def test_a_record_comes_back_as_it_was_written_whatever_the_texts(store, tmp_path, who, why, texts):
    records = Records(store, tmp_path)
    begun = records.begin(
        Record("promote", "stable", None, 7, who, "2026-11-25T01:00:00+00:00", why, texts=tuple(texts)), None
    )
    assert records.all()[-1] == begun


def test_no_backslash_reaches_the_store_which_postgresql_would_refuse(store, tmp_path):
    records = Records(store, tmp_path / "a\\b")
    records.begin(Record("promote", "stable", 1, 2, "a\\b", "", "c\\d", texts=("e\\f",)), None)
    [execution], [context] = store.get_executions(), store.get_contexts()
    assert "\\" not in context.name + "".join(value.string_value for value in execution.custom_properties.values())
    assert (records.all()[0].why, records.all()[0].texts) == ("c\\d", ("e\\f",))


def test_two_directories_have_records_of_their_own(store, tmp_path):
    one, other = Records(store, tmp_path / "one"), Records(store, tmp_path / "other")
    one.begin(Record("promote", "stable", 1, 2, "me", ""), None)
    assert (len(one.all()), other.all()) == (1, [])


def test_records_come_oldest_first_and_can_be_closed(store, tmp_path):
    records = Records(store, tmp_path)
    for version in (1, 2):
        begun = records.begin(Record("promote", "stable", None, version, "me", ""), None)
        records.close(begun, "FAILED", "why not", "receipt")
    assert [(record.to_version, record.state, record.detail) for record in records.all()] == [
        (1, "FAILED", "why not"),
        (2, "FAILED", "why not"),
    ]
