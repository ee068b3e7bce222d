"""Tests the log-in of a trusted proxy, over HTTP."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pipeline.review.login import SECRET_HEADER, USER, LoginMiddleware, ProxyLogin, read_login
from pipeline.settings.sources import load
from schema.errors import SettingsError
from tests.support.web_app import serve_app

SECRET = "0123456789abcdef"
LOGIN = ProxyLogin("X-User", SECRET, frozenset({"rita@example.com"}), frozenset({"ann@example.com"}))
APP = LoginMiddleware(Starlette(routes=[Route("/", lambda request: PlainTextResponse(request.scope[USER]))]), LOGIN)


@pytest.fixture(scope="module")
def url():
    with serve_app(APP) as running:
        yield running


@pytest.mark.parametrize("name", ["ann@example.com", "rita@example.com", "Rita@Example.com"])
def test_the_proxy_names_the_person(url, name):
    answer = httpx.get(url, headers={"X-User": name, SECRET_HEADER: SECRET})
    assert (answer.status_code, answer.text) == (200, name)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([("X-User", "ann@example.com")], 401),
        ([("X-User", "ann@example.com"), (SECRET_HEADER, "wrong")], 401),
        ([("X-User", "ann@example.com"), (SECRET_HEADER, b"\xe9" * 16)], 401),
        ([("X-User", "ann@example.com"), (SECRET_HEADER, SECRET), (SECRET_HEADER, SECRET)], 401),
        ([(SECRET_HEADER, SECRET)], 403),
        ([("X-User", ""), (SECRET_HEADER, SECRET)], 403),
        ([("X-User", "eve@example.com"), (SECRET_HEADER, SECRET)], 403),
        ([("X-User", "eve@example.com"), ("X-User", "ann@example.com"), (SECRET_HEADER, SECRET)], 403),
        ([("X-User", "ann\u200b@example.com".encode()), (SECRET_HEADER, SECRET)], 403),
        ([("X-User", b"\xe9\xff"), (SECRET_HEADER, SECRET)], 403),
    ],
)
def test_what_the_proxy_did_not_send_for_a_reader_is_refused(url, headers, status):
    assert httpx.get(url, headers=headers).status_code == status


def test_only_approvers_may_decide_and_without_readers_everyone_may_read():
    assert LOGIN.may_decide("Ann@example.com")
    assert not LOGIN.may_decide("rita@example.com")
    everyone = ProxyLogin("X-User", SECRET, frozenset(), frozenset())
    assert everyone.may_read("eve@example.com")
    assert not everyone.may_decide("eve@example.com")


def test_names_in_the_settings_have_their_usual_form(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    login = read_login("X-User", tmp_path / "secret", [], ["\uff21nn@example.com"])
    assert login.may_decide("ann@example.com")
    assert read_login(None, None, [], []) is None


@pytest.mark.parametrize(
    ("content", "message"), [("short", "5 characters but needs at least 16"), (None, "No such file")]
)
def test_a_secret_that_cannot_be_used_is_an_error(tmp_path, content, message):
    if content:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_login("X-User", tmp_path / "secret", [], [])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"review.user_header": "X-User"}, "user_header and proxy_secret_file go together"),
        ({"review.approvers": "[ann]"}, "readers and approvers need user_header"),
    ],
)
def test_settings_of_half_a_log_in_are_refused(flags, message):
    with pytest.raises(SettingsError, match=message):
        load(flags={key: (value, f"flag --set {key}") for key, value in flags.items()})
