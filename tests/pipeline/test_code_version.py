import shutil
from pathlib import Path

import components
from pipeline import code_version as module


def test_modules_and_folders_have_versions_of_their_own():
    versions = {module.code_version(stage) for stage in ("transform", "trainer", "example_gen")}
    assert len(versions) == 3


def test_a_changed_file_changes_the_version(tmp_path, monkeypatch):
    shutil.copytree(Path(components.__file__).parent / "trainer", tmp_path / "trainer")
    monkeypatch.setattr(module.components, "__file__", str(tmp_path / "__init__.py"))
    before = module.code_version("trainer")
    with open(tmp_path / "trainer/recipe.py", "a") as file:
        file.write("\n")
    assert module.code_version("trainer") != before
