"""Tokens as they are given to the command, and the names that a site answers to."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from pipeline.review.security import HostAndOriginMiddleware, Tokens, read_tokens
from schema.errors import SettingsError

LONG = "0123456789abcdef"


def test_without_a_token_nobody_decides():
    assert not read_tokens(None, None)


def test_whoever_knows_the_shared_token_gives_a_name():
    tokens = read_tokens(LONG, None)
    assert tokens.person(LONG, "ann") == "ann"
    assert tokens.person("0123456789abcdeX", "ann") is None
    assert tokens.person("", "ann") is None


def test_a_personal_token_stands_for_its_person_whatever_name_is_given(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who may decide\nann@here {LONG}1\n\nBob Smith {LONG}2\n")
    tokens = read_tokens(None, file)
    assert tokens.person(f"{LONG}1", "bob") == "ann@here"
    assert tokens.person(f"{LONG}2", "") == "Bob Smith"
    assert tokens.person(LONG, "ann@here") is None


def test_a_token_that_is_no_ascii_is_wrong_and_no_error():
    assert Tokens(LONG, {}).person("\ud800é", "ann") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"ann {LONG}\nann {LONG}2\n", "line 2: a name or token that stands above"),
        (f"ann {LONG}\nbob {LONG}\n", "line 2: a name or token that stands above"),
        (f"{LONG}\n", "line 1: expected a name and a token"),
        ("ann short\n", "line 1 has 5 characters, at least 16 are needed"),
        ("# nobody\n", "holds no token"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path, content, message):
    file = tmp_path / "tokens"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_tokens(None, file)


def test_a_file_that_is_not_there_and_a_short_token_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="--token-file"):
        read_tokens(None, tmp_path / "none")
    with pytest.raises(SettingsError, match="the token has 5 characters"):
        read_tokens("12345", None)


@pytest.mark.parametrize(("host", "status"), [("review.example", 200), ("Review.Example:443", 200), ("x.example", 421)])
def test_a_name_that_was_given_is_answered(host, status):
    async def ask():
        transport = httpx.ASGITransport(HostAndOriginMiddleware(PlainTextResponse("fine"), ["review.example"]))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get("http://127.0.0.1/", headers={"Host": host})

    assert asyncio.run(ask()).status_code == status
