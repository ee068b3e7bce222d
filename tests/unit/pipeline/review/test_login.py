"""Tests the rights of people, and the log-in of a trusted proxy over HTTP."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pipeline.review.login import (
    SECRET_HEADER,
    NotAllowedError,
    ProxyLogin,
    Rights,
    person_of,
    read_proxy_login,
    read_rights,
)
from pipeline.settings.sources import load
from schema.errors import SettingsError
from tests.support.web_app import serve_app

SECRET = "0123456789abcdef"
OPENID = {"review.oidc_issuer": "https://id.example.com", "review.oidc_client_id": "review"}
RIGHTS = Rights(
    frozenset({"rita@example.com"}), frozenset({"ann@example.com"}), frozenset({"readers"}), frozenset({"approvers"})
)
APP = ProxyLogin("X-User", SECRET, RIGHTS).protect(
    Starlette(routes=[Route("/", lambda request: PlainTextResponse(person_of(request).name))])
)


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


@pytest.mark.parametrize(
    ("name", "roles", "may_decide"),
    [
        ("Ann@example.com", [], True),
        ("rita@example.com", [], False),
        ("cem@example.com", ["approvers"], True),
        ("cem@example.com", ["readers", "other"], False),
        # A role is no name, and a name no role.
        ("rita@example.com", ["ann@example.com"], False),
    ],
)
def test_names_and_roles_give_rights(name, roles, may_decide):
    assert RIGHTS.person(name, roles).may_decide is may_decide


@pytest.mark.parametrize(("name", "roles"), [("eve@example.com", ["other"]), ("approvers", []), ("ann\u200b", [])])
def test_others_may_not_read(name, roles):
    with pytest.raises(NotAllowedError, match=r"may not read this site|is not a valid name"):
        RIGHTS.person(name, roles)


def test_without_readers_everyone_may_read_and_only_approvers_decide():
    assert Rights().person("eve@example.com").may_decide is False
    assert Rights(approvers=frozenset({"ann"})).person("eve").may_decide is False


def test_names_in_the_settings_have_their_usual_form(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    login = read_proxy_login("X-User", tmp_path / "secret", read_rights([], ["\uff21nn@example.com"]))
    assert login.rights.person("ann@example.com").may_decide


@pytest.mark.parametrize(
    ("content", "message"), [("short", "5 characters but needs at least 16"), (None, "No such file")]
)
def test_a_secret_that_cannot_be_used_is_an_error(tmp_path, content, message):
    if content:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_proxy_login("X-User", tmp_path / "secret", Rights())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"review.user_header": "X-User"}, "user_header and proxy_secret_file go together"),
        ({"review.approvers": "[ann]"}, "readers and approvers need oidc_issuer or user_header"),
        ({"review.oidc_issuer": "https://id.example.com"}, "oidc_issuer and oidc_client_id go together"),
        ({"review.oidc_client_id": "review"}, "oidc_issuer and oidc_client_id go together"),
        (OPENID | {"review.user_header": "X-User", "review.proxy_secret_file": "secret"}, "exclude each other"),
        (OPENID | {"review.oidc_issuer": "http://id.example.com"}, "must begin with https: if the provider is not"),
        (OPENID | {"review.oidc_issuer": "id.example.com"}, "review.oidc_issuer"),
        (OPENID | {"review.oidc_scope": "email"}, "review.oidc_scope"),
        (OPENID | {"review.approver_roles": "[approvers]"}, "need oidc_issuer and oidc_roles_claim"),
    ],
)
def test_settings_of_half_a_log_in_are_refused(flags, message):
    with pytest.raises(SettingsError, match=message):
        load(flags={key: (value, f"flag --set {key}") for key, value in flags.items()})
