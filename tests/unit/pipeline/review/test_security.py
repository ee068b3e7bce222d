"""Tests of approvers' tokens."""

import pytest

from pipeline.review.security import Tokens, read_tokens
from schema.errors import SettingsError

LONG = "0123456789abcdef"


def test_without_a_token_nobody_can_decide():
    assert not read_tokens(None, None)


def test_the_shared_token_accepts_any_name():
    tokens = read_tokens(LONG, None)
    assert tokens.person(LONG, "ann") == "ann"
    assert tokens.person("0123456789abcdeX", "ann") is None
    assert tokens.person("", "ann") is None


def test_a_personal_token_determines_the_name(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# approvers\nann@here {LONG}1\n\nBob Smith {LONG}2\n")
    tokens = read_tokens(None, file)
    assert tokens.person(f"{LONG}1", "bob") == "ann@here"
    assert tokens.person(f"{LONG}2", "") == "Bob Smith"
    assert tokens.person(LONG, "ann@here") is None


def test_a_non_ascii_token_is_wrong_but_not_an_error():
    assert Tokens(LONG, {}).person("\ud800é", "ann") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"ann {LONG}\nann {LONG}2\n", "line 2: the name or token is already used above"),
        (f"ann {LONG}\nbob {LONG}\n", "line 2: the name or token is already used above"),
        (f"{LONG}\n", "line 1: expected a name and a token"),
        ("ann short\n", "line 1 has 5 characters but needs at least 16"),
        ("# nobody\n", "contains no token"),
    ],
)
def test_a_malformed_token_file_is_rejected_with_its_line(tmp_path, content, message):
    file = tmp_path / "tokens"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_tokens(None, file)


def test_a_missing_file_and_a_short_token_are_rejected(tmp_path):
    with pytest.raises(SettingsError, match="--token-file"):
        read_tokens(None, tmp_path / "none")
    with pytest.raises(SettingsError, match="the token has 5 characters"):
        read_tokens("12345", None)
