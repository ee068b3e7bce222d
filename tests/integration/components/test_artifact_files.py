import shutil

import pytest
from tfx.types import standard_artifacts

from components.artifact_files import missing_file
from tests.support.stored_files import FILES, judge, write_files

FILE_OF_TYPE = [(kind, name) for kind, names in FILES.items() for name in names]
NAMED = [f"{kind.TYPE_NAME}-{name}" for kind, name in FILE_OF_TYPE]


@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.TYPE_NAME)
def test_of_a_whole_artifact_no_file_is_missing(kind, tmp_path):
    artifact = write_files(kind(), tmp_path / "a place [1]")
    assert missing_file(artifact) is None


@pytest.mark.parametrize(("kind", "name"), FILE_OF_TYPE, ids=NAMED)
def test_each_file_that_is_deleted_is_missed(kind, name, tmp_path):
    artifact = write_files(kind(), tmp_path / "artifact")
    (tmp_path / "artifact" / name).unlink()
    missing = missing_file(artifact)
    assert missing is not None
    assert missing.startswith(str((tmp_path / "artifact" / name).parent))


@pytest.mark.parametrize(("kind", "name"), FILE_OF_TYPE, ids=NAMED)
def test_each_directory_that_is_deleted_is_missed(kind, name, tmp_path):
    artifact = write_files(kind(), tmp_path / "artifact")
    shutil.rmtree((tmp_path / "artifact" / name).parent)
    assert missing_file(artifact) is not None


def test_of_other_types_the_directory_must_be_there(tmp_path):
    artifact = write_files(standard_artifacts.ModelBlessing(), tmp_path / "blessing")
    assert missing_file(artifact) is None
    (tmp_path / "blessing").rmdir()
    assert missing_file(artifact) == str(tmp_path / "blessing")


def test_a_decision_which_has_no_files_misses_none():
    from components.approval.component import ApprovalDecision

    assert missing_file(ApprovalDecision()) is None


def test_the_artifact_may_be_as_the_store_holds_it(tmp_path):
    artifact = write_files(standard_artifacts.Examples(), tmp_path / "rows")
    stored = artifact.mlmd_artifact
    stored.type = "Examples"
    assert missing_file(stored) is None
    shutil.rmtree(tmp_path / "rows/Split-val")
    assert missing_file(stored) == str(tmp_path / "rows/Split-val/*")


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("content", [b"", b"other weights"], ids=["truncated", "changed"])
def test_a_changed_file_of_a_model_is_reported(tmp_path, content, stored):
    model = write_files(standard_artifacts.Model(), tmp_path / "model")
    graph = tmp_path / "model/Format-Serving/saved_model.pb"
    graph.write_bytes(b"graph")
    judge(model)
    model.mlmd_artifact.type = "Model"
    seen = model.mlmd_artifact if stored else model
    assert missing_file(seen) is None
    graph.write_bytes(content)
    assert missing_file(seen) == f"differs: saved_model.pb in {tmp_path / 'model'}"
