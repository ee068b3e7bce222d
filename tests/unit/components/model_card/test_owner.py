import pytest
import yaml

from components.model_card.owner import OWNER_FILE, read_owner_statements
from schema.errors import SettingsError


@pytest.fixture
def edited(tmp_path):
    def edited(**changes):
        content = yaml.safe_load(OWNER_FILE.read_text()) | changes
        path = tmp_path / "card.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return edited


def test_the_files_own_statements_are_in_order():
    assert read_owner_statements(OWNER_FILE).owners[0].contact == "ml-platform@example.org"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"owners": None}, "owners"),
        ({"owners": []}, "owners"),
        ({"colour": "blue"}, "colour"),
        ({"limitations": "none"}, "limitations"),
        ({"data": {"name": "AG News"}}, "data.link"),
    ],
)
def test_a_wrong_key_is_named_with_the_file(edited, changes, named):
    path = edited(**changes)
    with pytest.raises(SettingsError, match=named) as raised:
        read_owner_statements(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"", b"- just\n- a list\n"])
def test_a_file_that_is_no_card_is_a_users_error(tmp_path, content):
    path = tmp_path / "card.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        read_owner_statements(path)


def test_a_file_that_is_not_there_is_a_users_error(tmp_path):
    with pytest.raises(SettingsError, match=r"card\.yaml"):
        read_owner_statements(tmp_path / "card.yaml")
