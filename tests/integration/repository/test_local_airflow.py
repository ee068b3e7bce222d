"""The administrator of the local Airflow, in a database of Airflow's own."""

import pytest

pytestmark = [pytest.mark.airflow]


@pytest.fixture
def local_airflow(airflow_home, tmp_path, monkeypatch):
    """The script, and no users in the database."""
    from airflow.providers.fab.auth_manager.models import User
    from airflow.utils.session import create_session

    from scripts import local_airflow

    monkeypatch.setattr(local_airflow, "PASSWORD", tmp_path / "admin-password")
    monkeypatch.setattr(local_airflow, "ADDRESS", tmp_path / "address")
    local_airflow.ADDRESS.write_text("http://127.0.0.1:8080\n")
    with create_session() as session:
        for user in session.query(User):
            session.delete(user)
    return local_airflow


@pytest.fixture
def manager():
    """The class of what keeps Airflow's users."""
    from airflow.providers.fab.auth_manager.security_manager import override

    return override.FabAirflowSecurityManagerOverride


def lets_in(password):
    from airflow.providers.fab.auth_manager.models import User
    from airflow.utils.session import create_session
    from werkzeug.security import check_password_hash

    with create_session() as session:
        return check_password_hash(session.query(User).filter_by(username="admin").one().password, password)


def said(script, capsys):
    script._say("Airflow runs")
    return capsys.readouterr().out


def test_the_password_that_is_told_works_and_stays(local_airflow, capsys):
    local_airflow.make_admin()
    password = local_airflow.PASSWORD.read_text()
    assert lets_in(password.strip())
    assert local_airflow.PASSWORD.stat().st_mode & 0o777 == 0o600
    assert f"password in {local_airflow.PASSWORD}" in said(local_airflow, capsys)
    local_airflow.make_admin()
    assert local_airflow.PASSWORD.read_text() == password


@pytest.mark.parametrize("kept", [None, "of another database"])
def test_an_existing_administrator_keeps_the_password(local_airflow, capsys, kept):
    local_airflow.PASSWORD.write_text("own")
    local_airflow.make_admin()
    local_airflow.PASSWORD.unlink()
    if kept:
        local_airflow.PASSWORD.write_text(kept)
    local_airflow.make_admin()
    assert lets_in("own")
    told = said(local_airflow, capsys)
    assert str(local_airflow.PASSWORD) not in told
    assert "users reset-password --username admin" in told


@pytest.mark.parametrize("moment", ["before", "after"])
def test_after_an_interrupt_the_password_that_is_told_works(local_airflow, manager, monkeypatch, moment):
    add_user = manager.add_user

    def interrupted(*arguments):
        if moment == "after":
            add_user(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manager, "add_user", interrupted)
        with pytest.raises(KeyboardInterrupt):
            local_airflow.make_admin()
    local_airflow.make_admin()
    assert lets_in(local_airflow.PASSWORD.read_text().strip())


def test_an_administrator_that_cannot_be_made_is_an_error(local_airflow, manager, monkeypatch):
    monkeypatch.setattr(manager, "add_user", lambda *_: False)
    with pytest.raises(SystemExit, match="the user admin cannot be made"):
        local_airflow.make_admin()
