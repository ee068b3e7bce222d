import shutil

import pytest

from schema.errors import AuditError
from serving.audit import AuditLog, Entry, manifest
from serving.verify import check, version_directories
from serving.versions import pushed_versions


@pytest.fixture
def serving(tmp_path):
    """Returns a serving directory with two pushed versions, and its log."""
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in (1, 2):
        path = tmp_path / f"agnews/{number}"
        path.mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"graph")
        (path / "fingerprint.pb").write_bytes(bytes([number]))
        log.append(Entry("push", "agnews", number, details={"files": manifest(path)}))
    (tmp_path / "models.config").write_text("")
    return tmp_path


def findings(serving):
    checked = check(serving, AuditLog(serving / "audit.jsonl"))
    return {(version.model, version.number): version.findings for version in checked if version.findings}


def test_what_was_pushed_has_no_findings(serving):
    assert findings(serving) == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda version: (version / "saved_model.pb").write_bytes(b"Graph"), "differs: saved_model.pb"),
        (lambda version: (version / "saved_model.pb").unlink(), "missing: saved_model.pb"),
        (lambda version: (version / "more.so").write_bytes(b""), "extra: more.so"),
        (shutil.rmtree, "missing, and not recorded as pruned"),
    ],
    ids=["differs", "missing", "extra", "gone"],
)
def test_each_difference_is_named_with_its_version(serving, change, found):
    change(serving / "agnews/2")
    assert findings(serving) == {("agnews", 2): (found,)}


@pytest.mark.parametrize("place", ["agnews/3", "other/1"])
def test_a_version_that_nobody_pushed_is_named(serving, place):
    shutil.copytree(serving / "agnews/1", serving / place)
    [finding] = findings(serving).values()
    assert "not in the audit log" in finding[0]


def test_a_pruned_version_is_not_missing_unless_the_pruning_failed(serving):
    shutil.rmtree(serving / "agnews/1")
    log = AuditLog(serving / "audit.jsonl")
    log.append(Entry("prune", "agnews", 1, outcome="CANCELED"))
    assert ("agnews", 1) in findings(serving)
    log.append(Entry("prune", "agnews", 1))
    assert findings(serving) == {}


@pytest.mark.parametrize("other", ["02", "0000000002", "\N{ARABIC-INDIC DIGIT TWO}"])
def test_another_spelling_of_a_number_hides_nothing_and_is_named(serving, other):
    shutil.copytree(serving / "agnews/2", serving / "agnews" / other)
    (serving / "agnews/2/saved_model.pb").write_bytes(b"Graph")
    assert findings(serving) == {
        ("agnews", 2): (
            f"'{other}' is a name for it too, and servers may load it",
            "differs: saved_model.pb",
        )
    }
    assert [version.path.name for version in pushed_versions(serving / "agnews").values()] == ["1", "2"]


def test_a_number_that_is_spelled_otherwise_alone_is_named_as_well(serving):
    shutil.copytree(serving / "agnews/2", serving / "agnews/03")
    [(version, found)] = findings(serving).items()
    assert version == ("agnews", 3)
    assert found[0].startswith("'03' is a name for it too")
    assert "not in the audit log" in found[1]


def test_a_version_that_is_a_link_is_named_though_the_files_are_the_same(serving):
    (serving / "agnews/2").rename(serving / "elsewhere")
    (serving / "agnews/2").symlink_to(serving / "elsewhere")
    [finding] = findings(serving)["agnews", 2]
    assert finding == f"it is a link, to {serving / 'elsewhere'}, and no directory"


@pytest.mark.parametrize("details", [{}, {"files": None}, {"files": "saved_model.pb"}, {"files": ["saved_model.pb"]}])
def test_an_entry_without_fingerprints_is_a_finding(serving, details):
    AuditLog(serving / "audit.jsonl").append(Entry("push", "agnews", 2, details=details))
    assert findings(serving) == {("agnews", 2): ("the entry of its push holds no fingerprints of files",)}


def forbidden(function, path):
    """Makes a function fail on a path, as for a user without permission; the superuser can read everything."""

    def asked(given):
        if given == path:
            raise PermissionError(13, "Permission denied", str(given))
        return function(given)

    return asked


def test_an_unreadable_version_is_a_finding_and_others_are_checked(serving, monkeypatch):
    (serving / "agnews/1/saved_model.pb").write_bytes(b"Graph")
    version = serving / "agnews/2"
    monkeypatch.setattr("serving.verify.manifest", forbidden(manifest, version))
    assert findings(serving) == {
        ("agnews", 1): ("differs: saved_model.pb",),
        ("agnews", 2): (f"cannot be read: {version}: Permission denied",),
    }


def test_a_directory_of_versions_that_may_not_be_listed_is_named(serving, monkeypatch):
    directory = serving / "agnews"
    monkeypatch.setattr("serving.verify.version_directories", forbidden(version_directories, directory))
    with pytest.raises(AuditError, match=f"{directory}: Permission denied; who verifies must be able to read it"):
        findings(serving)
