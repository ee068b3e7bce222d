import socket

import pytest

from serving.audit import IDENTITY, identity, person


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
