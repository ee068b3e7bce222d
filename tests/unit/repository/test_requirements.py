"""The locks belong to pyproject.toml: `make lock` writes them."""

import re
import tomllib

import pytest

from tests.support import ROOT

SHARED = ("default", "gpu", "dev")
OWN = tuple(sorted(file.stem for file in (ROOT / "requirements").glob("*.in")))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared(project, lock):
    """Names of the packages that a set asks for; an extra of the project itself means what it holds."""
    if lock in OWN:
        lines = (ROOT / f"requirements/{lock}.in").read_text().splitlines()
        yield from (name_of(line) for line in lines if not line.startswith("#"))
        return
    requirements = [] if lock == "default" else project["optional-dependencies"][lock]
    for requirement in requirements:
        if extra := re.fullmatch(rf"{project['name']}\[(\w+)\]", requirement):
            yield from declared(project, extra.group(1))
        else:
            yield name_of(requirement)
    yield from map(name_of, project["dependencies"])


def name_of(requirement):
    return re.match(r"[\w-]+", requirement).group().lower().replace("_", "-")


def locked(lock):
    """Each package of a lock with its line and the hashes under it."""
    text = re.sub(r"^#.*\n", "", (ROOT / f"requirements/{lock}.txt").read_text(), flags=re.MULTILINE)
    lines = text.replace(" \\\n", "").splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


@pytest.mark.parametrize("lock", SHARED + OWN)
def test_each_lock_holds_all_that_is_declared_with_versions(project, lock):
    packages = locked(lock)
    assert set(declared(project, lock)) <= set(map(name_of, packages))
    assert [package for package in packages if "==" not in package] == []


@pytest.mark.parametrize("lock", OWN)
def test_an_orchestrators_set_has_no_tfx(lock):
    assert "tfx" not in map(name_of, locked(lock))


@pytest.mark.parametrize("lock", SHARED + OWN)
def test_each_locked_package_has_hashes(lock):
    sha256 = re.compile(r"--hash=sha256:[0-9a-f]{64}")
    unhashed = [name for name, hashes in locked(lock).items() if not hashes or not all(map(sha256.fullmatch, hashes))]
    assert unhashed == []


def test_the_sets_share_their_versions():
    version_of = {}
    for lock in SHARED:
        for package in locked(lock):
            name, _, version = package.partition("==")
            version_of.setdefault(name.partition("[")[0], set()).add(version)
    assert {name: versions for name, versions in version_of.items() if len(versions) > 1} == {}


@pytest.mark.parametrize("file", ["scripts/setup.sh", "Dockerfile"])
def test_every_installation_of_a_lock_checks_the_hashes(file):
    text = (ROOT / file).read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "uv pip install" in line and "--requirements" in line]
    assert installs
    assert [line for line in installs if "--require-hashes" not in line] == []
