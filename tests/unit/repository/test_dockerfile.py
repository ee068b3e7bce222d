"""The Dockerfile copies and installs what the image needs; tests/e2e/test_container.py builds and runs the image."""

import fnmatch
import importlib.metadata
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from setuptools import find_packages

from tests.support import ROOT


@pytest.fixture(scope="module")
def instructions():
    """The instructions of each stage by the name of the stage, with their arguments, in order."""
    parser = DockerfileParser(path=str(ROOT / "Dockerfile"), cache_content=True)
    stages, current = {"": []}, ""
    for line in parser.structure:
        if line["instruction"] == "FROM":
            current = line["value"].rpartition(" AS ")[2]
            stages[current] = []
        stages[current].append((line["instruction"], line["value"]))
    return {name: [one for one in lines if one[0] != "COMMENT"] for name, lines in stages.items()}


def base_of(instructions, stage):
    [(_, source)] = [one for one in instructions[stage] if one[0] == "FROM"]
    return source.partition(" AS ")[0]


def values(instructions, stage, kind):
    """Those of the stage, after those of the stages that it is built from."""
    parent = base_of(instructions, stage)
    inherited = values(instructions, parent, kind) if parent in instructions else []
    return inherited + [value for name, value in instructions[stage] if name == kind]


def copied(instructions):
    """What is copied from the repository: sources and destination of each instruction."""
    for lines in instructions.values():
        for name, value in lines:
            if name == "COPY" and "--from=" not in value:
                *sources, destination = shlex.split(value)
                yield sources, destination


def sent(path):
    """Whether .dockerignore lets a path of the repository through."""
    allowed = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        parts = Path(path).parts
        prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        names = parts if pattern.startswith("**/") else prefixes
        if rule and not rule.startswith("#") and any(fnmatch.fnmatch(n, pattern.removeprefix("**/")) for n in names):
            allowed = rule.startswith("!")
    return allowed


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def packages(pyproject):
    return find_packages(str(ROOT), include=pyproject["tool"]["setuptools"]["packages"]["find"]["include"])


@pytest.fixture(scope="module")
def package_data(pyproject):
    return pyproject["tool"]["setuptools"]["package-data"]


def test_what_is_copied_exists_and_reaches_the_builder(instructions):
    sources = [source for sources, _ in copied(instructions) for source in sources]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists() or not sent(source)] == []


def test_nothing_else_is_sent_to_the_builder():
    for path in (
        "data/ag_news/train.csv",
        "runs/metadata.sqlite",
        ".venv/bin/python",
        ".git/config",
        "tests/conftest.py",
    ):
        assert not sent(path)
    assert not sent("pipeline/__pycache__/dag.cpython-311.pyc")


def test_each_package_is_copied_with_its_data(instructions, packages, package_data):
    sources = {source for sources, _ in copied(instructions) for source in sources}
    assert {name.partition(".")[0] for name in packages} <= sources
    data = [f"{name.replace('.', '/')}/{glob}" for name, globs in package_data.items() for glob in globs]
    for pattern in data:
        files = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()]
        assert files
        assert [file for file in files if not sent(file)] == []


def test_what_the_wheel_is_built_from_is_copied(instructions, pyproject):
    project = pyproject["project"]
    sources = {source for sources, _ in copied(instructions) for source in sources}
    assert {"pyproject.toml", "setup.py", project["readme"], *project["license-files"]} <= sources


def test_what_the_packages_read_is_declared_as_their_data(package_data):
    """Files of the server's deployment and of the client's wheel are read by other programs, from the repository."""
    declared = {
        path
        for name, globs in package_data.items()
        for pattern in globs
        for path in (ROOT / name.replace(".", "/")).glob(pattern)
    }
    found = {
        path
        for name in ("pipeline", "components", "schema", "serving")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc", ".proto", ".toml")
        and ROOT / "serving/deploy" not in path.parents
    }
    assert found == {path for path in declared if path.is_file()}


@pytest.mark.parametrize(("target", "locks"), [("cpu", ["default"]), ("gpu", ["default", "gpu"])])
def test_a_target_installs_its_locks_and_the_project(instructions, target, locks):
    [copy] = [value for name, value in instructions[target] if name == "COPY"]
    built = re.fullmatch(r"--from=(\S+) /opt/venv /opt/venv", copy).group(1)
    runs = values(instructions, built, "RUN")
    installed = [re.findall(r"--requirements /requirements/(\w+)\.txt", run) for run in runs]
    assert [name for names in installed for name in names] == locks
    copied_locks = [value.split()[0] for value in values(instructions, built, "COPY")]
    assert copied_locks == [f"requirements/{name}.txt" for name in locks]
    assert "--no-deps /wheels/*.whl" in runs[-1]


def canonical(name):
    return re.sub("[-_.]+", "-", name).lower()


def locked(lock):
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    return {canonical(name) for name in re.findall(r"^([\w.-]+)", text, re.MULTILINE)}


@pytest.mark.parametrize(("target", "lock"), [("cpu", "default"), ("gpu", "gpu")])
def test_the_builder_can_compile_what_has_no_wheel(instructions, target, lock):
    """Package indexes accept no wheel tagged linux_x86_64: a package with that tag was compiled on this machine."""
    compiled = {
        canonical(package.name)
        for package in importlib.metadata.distributions()
        if "-linux_x86_64" in (package.read_text("WHEEL") or "")
    }
    runs = values(instructions, f"packages-{target}", "RUN")
    before = runs[: next(number for number, run in enumerate(runs) if "/requirements/" in run)]
    assert not compiled & locked(lock) or any(re.search(r"apt-get install .*\bg\+\+", run) for run in before), (
        f"without a wheel: {', '.join(sorted(compiled & locked(lock)))}; install g++ in the builder stage"
    )


def test_each_package_of_the_image_is_installed_here():
    """Otherwise the test above would not know how the package is published."""
    installed = {canonical(package.name) for package in importlib.metadata.distributions()}
    assert locked("default") <= installed


def test_the_build_needs_no_frontend_from_a_registry():
    assert not re.search(r"^#\s*syntax\s*=", (ROOT / "Dockerfile").read_text(), re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_image_runs_unprivileged_and_without_build_tools(instructions, target):
    [user] = values(instructions, target, "USER")
    assert user.isdecimal()
    assert int(user) > 0
    assert "builder" not in base_of(instructions, base_of(instructions, target))
    assert [run for run in values(instructions, target, "RUN") if not run.startswith("useradd")] == []
    [path] = [value for value in values(instructions, target, "ENV") if "PATH=" in value]
    assert "/opt/venv/bin:" in path


def test_the_cpu_variant_is_what_is_built_by_default(instructions):
    assert list(instructions)[-1] == "cpu"


def test_versions_are_named(instructions):
    [base] = [value for name, value in instructions[""] if name == "ARG"]
    assert re.fullmatch(r"BASE=python:3\.11-slim-trixie", base)
    installed = re.findall(r"pip install [^&]*", "\n".join(values(instructions, "builder", "RUN")))
    assert installed
    assert [words for words in installed if "==" not in words] == []
    [uv] = re.findall(r"^uv_version=([0-9.]+)$", (ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)
    assert f"uv=={uv}" in installed[0]


def test_entry_point_and_the_commands_of_the_pods_are_in_the_packages(instructions, packages, pyproject):
    assert values(instructions, "cpu", "ENTRYPOINT") == ['["agnews"]']
    assert pyproject["project"]["scripts"]["agnews"] == "pipeline.cli:main"


def test_images_are_named_with_the_version_of_the_project(pyproject):
    from pipeline.settings import KubeflowSettings

    directories = (ROOT / "docs", ROOT / "serving", ROOT / "pipeline")
    files = [file for directory in directories for file in directory.rglob("*") if file.suffix in (".md", ".yaml")]
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in files}
    texts |= {"Dockerfile": (ROOT / "Dockerfile").read_text(), "settings": KubeflowSettings().image}
    tag = re.compile(r"(?:agnews-pipeline:|name: agnews-pipeline\s+newTag: )(\d+\.\d+\.\d+)")
    named = {name: set(tag.findall(text)) for name, text in texts.items()}
    named = {name: versions for name, versions in named.items() if versions}
    assert named.keys() >= {
        "Dockerfile",
        "settings",
        "docs/guides/container.md",
        "pipeline/runners/kubeflow/manifests/approvals_pod.yaml",
        "serving/deploy/compose.yaml",
        "serving/deploy/kubernetes/request_log/kustomization.yaml",
        "serving/deploy/kubernetes/verify/kustomization.yaml",
    }
    assert {name: versions for name, versions in named.items() if versions != {pyproject["project"]["version"]}} == {}
