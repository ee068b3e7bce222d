"""The locks belong to setup.py: `make lock` renews them."""

import re
import runpy
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]


@pytest.fixture
def declared(monkeypatch):
    found = {}
    monkeypatch.setattr(setuptools, "setup", found.update)
    runpy.run_path(str(ROOT / "setup.py"))
    return found


def names(requirements):
    return {re.match(r"[\w-]+", requirement).group().lower().replace("_", "-") for requirement in requirements}


def locked(name):
    return [line for line in (ROOT / f"requirements/{name}.txt").read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("lock", ["default", "airflow", "kubeflow", "gpu", "dev"])
def test_each_lock_holds_all_that_is_declared_with_versions(declared, lock):
    wanted = names(declared["install_requires"] + declared["extras_require"].get(lock, []))
    assert wanted <= names(locked(lock))
    assert [line for line in locked(lock) if "==" not in line] == []


def test_the_sets_share_their_versions():
    version_of = {}
    for lock in ("default", "airflow", "kubeflow", "gpu", "dev"):
        for line in locked(lock):
            name, _, version = line.partition("==")
            version_of.setdefault(name.partition("[")[0], set()).add(version)
    assert {name: versions for name, versions in version_of.items() if len(versions) > 1} == {}
