import pytest

from pipeline import code_version as module


@pytest.fixture
def stages(tmp_path, monkeypatch):
    monkeypatch.setattr(module.components, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "single.py").write_text("one = 1\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inner.py").write_text("one = 1\n")
    return tmp_path


@pytest.mark.parametrize(("stage", "file"), [("single", "single.py"), ("folder", "folder/inner.py")])
def test_a_version_is_stable_until_its_code_changes(stages, stage, file):
    before = module.code_version(stage)
    assert module.code_version(stage) == before
    (stages / file).write_text("one = 2\n")
    assert module.code_version(stage) != before


def test_a_version_is_sixteen_hexadecimal_digits(stages):
    version = module.code_version("single")
    assert len(version) == 16
    assert set(version) <= set("0123456789abcdef")


def test_a_renamed_file_changes_the_version(stages):
    before = module.code_version("folder")
    (stages / "folder/inner.py").rename(stages / "folder/other.py")
    assert module.code_version("folder") != before


def test_another_name_of_a_class_changes_the_version(stages, monkeypatch):
    before = module.code_version("folder")
    monkeypatch.setattr(module, "CLASS_NAMES", ("World", "Sports", "Money", "Sci/Tech"))
    assert module.code_version("folder") != before


def test_an_edited_template_changes_the_version(stages):
    (stages / "folder/page.html.j2").write_text("<p>")
    before = module.code_version("folder")
    (stages / "folder/page.html.j2").write_text("<b>")
    assert module.code_version("folder") != before


def test_what_is_no_code_leaves_the_version(stages):
    before = module.code_version("folder")
    (stages / "folder/notes.txt").write_text("notes")
    assert module.code_version("folder") == before


def test_another_stage_leaves_the_version(stages):
    before = module.code_version("folder")
    (stages / "single.py").write_text("one = 3\n")
    assert module.code_version("folder") == before


def test_the_modules_that_read_files_count_for_the_rows_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module.schema, "__file__", str(tmp_path / "__init__.py"))
    for name in ("csv_records.py", "news_items.py", "text_files.py"):
        (tmp_path / name).write_text("one = 1\n")
    before = {stage: module.code_version(stage) for stage in ("example_gen", "transform")}
    (tmp_path / "csv_records.py").write_text("one = 2\n")
    assert module.code_version("example_gen") != before["example_gen"]
    assert module.code_version("transform") == before["transform"]


def test_modules_and_folders_have_versions_of_their_own():
    versions = {module.code_version(stage) for stage in ("transform", "trainer", "example_gen")}
    assert len(versions) == 3
