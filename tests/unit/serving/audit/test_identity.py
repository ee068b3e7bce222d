import re
import socket

import pytest

from schema.errors import SettingsError
from serving.audit import IDENTITY, AuditLog, check_name, identity, person


def test_a_service_names_itself(monkeypatch):
    monkeypatch.setenv(IDENTITY, "pipeline@cluster")
    assert identity() == "pipeline@cluster"


def test_a_user_is_known_by_name_and_host(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert identity() == f"ann@{socket.gethostname()}"


@pytest.mark.parametrize("other", ["ann@there", "Ann@here", " ann ", "\uff41nn@here"])
def test_one_person_stays_one_on_another_host_and_in_other_letters(other):
    assert person(other) == person("ann@here")


def test_two_people_of_one_host_are_two():
    assert person("ann@here") != person("bob@here")


@pytest.mark.parametrize(
    "other",
    [
        "ann\u200b@here",
        "a\u00adnn",
        "\u2060ann",
        "an\u0274".replace("\u0274", "n"),
        "\u0430nn@here",
        "ANN",
        "\uff41\uff4e\uff4e",
    ],
    ids=ascii,
)
def test_a_name_that_looks_like_another_is_the_same_person(other):
    assert person(other) == person("ann@here")


@pytest.mark.parametrize(
    "other", ["\u0441\u043e\u0441\u043e", "\u03c7\u03bf\u03c7\u03bf".replace("\u03c7", "\u0441")], ids=ascii
)
def test_a_name_in_letters_that_look_latin_is_the_same_person(other):
    assert person(other) == person("coco")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("ann\u200b@here", "ZERO WIDTH SPACE"),
        ("ann\u202e", "RIGHT-TO-LEFT OVERRIDE"),
        ("ann\x00", "U+0000"),
        ("ann\n", None),
        ("a\nnn", "U+000A"),
        ("ann\udcff", "REPLACEMENT CHARACTER"),
        ("\U0001f916", "ROBOT FACE"),
        ("\u0430nn@here", "mixes Cyrillic and Latin letters"),
        ("\u03bfscar", "mixes Greek and Latin letters"),
    ],
    ids=ascii,
)
def test_a_name_with_other_characters_is_refused_where_it_is_given(name, fault):
    if fault is None:
        assert check_name(name, "--by") == "ann"
    else:
        with pytest.raises(SettingsError, match=f"^--by: .*{re.escape(fault)}"):
            check_name(name, "--by")


@pytest.mark.parametrize(
    "name",
    [
        "ann@here",
        "José Ñandú",
        "O'Brien (ops)",
        "CORP\\ann",
        "山田 太郎",
        "やまだ タロウ",
        "Иван Петров",
        "Ann Ivanova Анна",
        "a.b+c_d-e",
        "한국어",
    ],
)
def test_usual_names_are_accepted(name):
    assert check_name(f" {name} ", "--by") == name


def test_an_identity_that_is_no_name_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(IDENTITY, "ann\u200b@here")
    with pytest.raises(SettingsError, match="AGNEWS_IDENTITY"):
        AuditLog(tmp_path / "audit.jsonl").require_writable()
