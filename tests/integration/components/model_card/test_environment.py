import subprocess

import pytest

from components.model_card.environment import Revision, code_revision, describe_environment
from components.model_card.evidence import NotAvailable


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    code = tmp_path / "code"
    code.mkdir()
    (code / "module.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    return code, git


def test_a_clean_checkout_has_its_commit(repository):
    code, git = repository
    assert code_revision(code) == Revision(git("rev-parse", "HEAD"), dirty=False)


@pytest.mark.parametrize("name", ["module.py", "new.py"])
def test_a_changed_or_new_file_makes_it_dirty(repository, name):
    code, _ = repository
    (code / name).write_text("x = 2\n")
    assert code_revision(code).dirty


def test_an_environment_within_another_checkout_has_no_revision(repository):
    code, _ = repository
    (code.parent / "installed").mkdir()
    assert isinstance(code_revision(code.parent / "installed"), NotAvailable)


def test_code_outside_any_checkout_has_no_revision(tmp_path):
    assert isinstance(code_revision(tmp_path), NotAvailable)


def test_without_git_there_is_no_revision(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code_revision(repository[0]) == NotAvailable("git is not installed")


def test_versions_and_hardware_are_named():
    found = describe_environment()
    assert {"python", "tfx", "tensorflow", "keras"} <= set(found.versions)
    assert found.cores >= 1
    assert found.memory_gib > 0
