import shutil

import grimp
import pytest
from tfx.components import ExampleValidator, StatisticsGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.common.resolver import Resolver

from components.example_gen.sources import DataSource
from pipeline.code_version import PARAMETER, STAGES, code_version, entry_modules, source_files, source_fingerprint
from pipeline.dag import create_pipeline
from pipeline.settings import Settings
from tests.support import ROOT

PACKAGES = ("components", "schema", "serving")


@pytest.fixture
def project(tmp_path):
    """A small project: a stage that imports a helper of another package."""
    files = {
        "components/__init__.py": "",
        "components/stage/__init__.py": "",
        "components/stage/component.py": "from schema.helper import help_it\n",
        "components/stage/other.py": "",
        "schema/__init__.py": "",
        "schema/helper.py": "import schema.deeper\n",
        "schema/deeper.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def version(project):
    return lambda: source_fingerprint(["components.stage.component"], project)


@pytest.mark.parametrize(
    "file",
    [
        "components/__init__.py",
        "components/stage/__init__.py",
        "components/stage/component.py",
        "schema/helper.py",
        "schema/deeper.py",
    ],
)
def test_an_edit_of_an_imported_module_changes_the_version(project, version, file):
    before = version()
    assert version() == before
    with (project / file).open("a") as source:
        source.write("edited = 1\n")
    assert version() != before


def test_a_version_is_sixteen_hexadecimal_digits(version):
    assert len(version()) == 16
    assert set(version()) <= set("0123456789abcdef")


def test_a_renamed_module_changes_the_version(project, version):
    before = version()
    (project / "schema/deeper.py").rename(project / "schema/depth.py")
    (project / "schema/helper.py").write_text("import schema.depth\n")
    assert version() != before


def test_an_edited_template_changes_the_version(project, version):
    template = project / "components/stage/templates/page.html.j2"
    template.parent.mkdir()
    template.write_text("<p>")
    before = version()
    template.write_text("<b>")
    assert version() != before


@pytest.mark.parametrize("file", ["components/stage/other.py", "components/notes.txt", "components/stage/py.typed"])
def test_a_file_that_the_stage_does_not_use_leaves_the_version(project, version, file):
    before = version()
    (project / file).write_text("# edited\n")
    assert version() == before


def test_a_module_named_in_a_string_counts_as_an_import(project, version):
    server = project / "serving/server/__main__.py"
    server.parent.mkdir(parents=True)
    for file in (server, server.with_name("__init__.py"), server.parent.with_name("__init__.py")):
        file.write_text("")
    (project / "components/stage/component.py").write_text('COMMAND = ["python", "-m", "serving.server"]\n')
    before = version()
    server.write_text("edited = 1\n")
    assert version() != before


def test_an_import_for_type_checking_does_not_count(project, version):
    stage = project / "components/stage/component.py"
    stage.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import schema.helper\n")
    before = version()
    (project / "schema/helper.py").write_text("edited = 1\n")
    assert version() == before


def test_stages_have_different_versions():
    assert len({code_version(stage) for stage in STAGES}) == len(STAGES)


@pytest.fixture
def components(tmp_path):
    """Every component that has a cache key, with all optional stages."""
    settings = Settings.model_validate(
        {
            "pipeline": {"root": str(tmp_path)},
            "trainer": {"warm_start": True},
            "tuner": {"enabled": True},
            "promotion": {"require_approval": True},
        }
    )
    source = DataSource("/data", "{SPAN}/train.csv", "{SPAN}/test.csv", "path")
    return [one for one in create_pipeline(settings, source).components if isinstance(one, BaseComponent)]


def test_every_component_that_runs_our_code_has_a_version(components):
    for component in components:
        modules = entry_modules(component)
        if modules:
            assert component.exec_properties[PARAMETER] == source_fingerprint(modules), component.id
        else:
            assert isinstance(component, StatisticsGen | ExampleValidator), component.id


def test_no_parameter_names_a_module_that_the_version_leaves_out(components):
    for component in components:
        names = [value for value in component.exec_properties.values() if isinstance(value, str)]
        ours = {name.rpartition(".")[0] for name in names if name.startswith(tuple(f"{one}." for one in PACKAGES))}
        assert ours <= set(entry_modules(component)), component.id


def test_resolvers_are_never_cached_and_need_no_version(tmp_path):
    settings = Settings.model_validate({"pipeline": {"root": str(tmp_path)}})
    source = DataSource("/data", "train.csv", "test.csv", "path")
    others = [node for node in create_pipeline(settings, source).components if not isinstance(node, BaseComponent)]
    assert others
    assert all(isinstance(node, Resolver) for node in others)


def test_an_edit_of_any_module_that_a_component_imports_changes_its_version(components, tmp_path):
    """The imports are those that grimp, which import-linter uses, finds."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    copy = tmp_path / "copy"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert len(components) >= 11
    for modules in {entry_modules(component) for component in components} - {()}:
        imported = set(modules).union(*(graph.find_upstream_modules(name) for name in modules))
        before = source_fingerprint(modules, copy)
        assert before == source_fingerprint(modules)
        for name in imported:
            path = copy.joinpath(*name.split("."))
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            original = file.read_bytes()
            file.write_bytes(original + b"\nedited = 1\n")
            assert source_fingerprint(modules, copy) != before, f"{name} is not part of {modules}"
            file.write_bytes(original)


def test_the_infra_validator_depends_on_the_server_that_it_starts():
    files = source_files(["components.infra_validator.component"])
    assert {ROOT / "serving/server/__main__.py", ROOT / "serving/server/grpc_service.py"} <= files


def test_the_model_card_depends_on_its_templates():
    files = source_files(["components.model_card.component"])
    assert ROOT / "components/model_card/templates/card.html.j2" in files


def test_pushing_does_not_depend_on_the_model_card():
    """Otherwise an edit of the card would push the model again."""
    files = source_files(["components.pusher.component"])
    assert not [file for file in files if "model_card" in file.parts]
