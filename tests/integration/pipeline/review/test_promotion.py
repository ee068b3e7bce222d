"""Tests of the form that promotes versions and rolls back."""

import contextlib

import httpx
import pytest

from benchmarks.review_store import SimulatedStore
from pipeline.governance.audit_check import audit_log
from pipeline.review.app import make_app
from pipeline.review.login import SECRET_HEADER, ProxyLogin, Rights
from pipeline.review.security import Tokens
from pipeline.review.site import Site
from tests.support.review_site import TOKEN, serving, settings_of, text
from tests.support.web_app import serve_app


@pytest.fixture
def place(tmp_path):
    made = SimulatedStore(tmp_path, files=2, test_rows=8)
    made.add_runs(2)
    return settings_of(tmp_path), made.serve(tmp_path / "serving_model", 2)


@contextlib.contextmanager
def quick(settings, tokens=Tokens(TOKEN, {}), login=None):  # noqa: B008 - immutable
    """A client of a site that does not wait for servers that poll models.config."""
    app = make_app(Site(settings, tokens, login=login, poll_seconds=0.0))
    with serve_app(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def change(client, what, version="", **fields):
    form = {"token": TOKEN, "by": "bob@here", "reason": "better on Business", "version": version, "change": what}
    return client.post("/served/change", data=form | fields)


def test_a_version_is_promoted_and_rolled_back_with_audit_entries(place):
    settings, (first, second) = place
    with quick(settings) as client:
        for version in (first, second):
            answer = change(client, "stable", version)
            assert answer.status_code == 303
            shown = text(client.get(answer.headers["location"]))
            assert f"Recorded: promote of stable to version {version} by bob@here (claimed)" in shown
        again = change(client, "stable", second, by="ann@here")
        assert again.status_code == 409
        assert f"Nothing was changed: version {second} is stable already." in text(again)
        assert f"Roll back to {first}" in shown
        assert change(client, "rollback").status_code == 303
        assert f"Version {first} , pushed" in text(client.get("/served"))
    entries = [line.entry for line in audit_log(settings).lines()][2:]
    assert [(one.action, one.version, one.by, one.why) for one in entries] == [
        ("promote", first, "bob@here", "better on Business"),
        ("promote", second, "bob@here", "better on Business"),
        ("rollback", first, "bob@here", "better on Business"),
    ]


def test_a_version_with_changed_files_is_not_promoted(place, tmp_path):
    settings, (first, _) = place
    (tmp_path / f"serving_model/agnews/{first}/saved_model.pb").write_bytes(b"another")
    with quick(settings) as client:
        answer = change(client, "stable", first)
        assert answer.status_code == 409
        assert "Nothing was changed" in text(answer)
        assert "is not what was pushed" in text(answer)
        assert "better on Business" in answer.text
        assert TOKEN not in answer.text
        assert client.get("/served/change").headers["location"] == "/served#versions"
    assert not (tmp_path / "serving_model/models.config").exists()


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"token": "wrong"}, 403), ({"by": ""}, 409), ({"change": "best"}, 400), ({"version": "x"}, 400)],
)
def test_an_invalid_form_changes_nothing(place, tmp_path, fields, status):
    settings, (first, _) = place
    with quick(settings) as client:
        assert change(client, **({"what": "stable", "version": first} | fields_of(fields))).status_code == status
    assert not (tmp_path / "serving_model/models.config").exists()


def fields_of(fields):
    return {"what" if name == "change" else name: value for name, value in fields.items()}


def test_only_an_approver_sees_the_form_and_another_site_cannot_send_it(place, tmp_path):
    settings, (first, _) = place
    with serving(settings, Tokens(None, {})) as client:
        assert "<form" not in client.get("/served").text
        assert "agnews versions rollback" in text(client.get("/served"))
        assert change(client, "stable", first).status_code == 403
    login = ProxyLogin("X-User", TOKEN, Rights(approvers=frozenset({"cem@here"})))
    with quick(settings, Tokens(None, {}), login) as client:
        client.headers.update({SECRET_HEADER: TOKEN, "X-User": "rita@here"})
        assert "<form" not in client.get("/served").text
        assert change(client, "stable", first).status_code == 403
        client.headers["X-User"] = "cem@here"
        assert "You decide as cem@here" in client.get("/served").text
        foreign = client.post("/served/change", data={"change": "rollback"}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert not (tmp_path / "serving_model/models.config").exists()
        answer = change(client, "stable", first)
        assert "by cem@here," in text(client.get(answer.headers["location"]))
    entry = audit_log(settings).lines()[-1].entry
    assert (entry.by, entry.details["proof"]) == ("cem@here", "log-in")
