"""Runs the components that look up earlier runs in directories, as an executor does."""

import shutil

import pytest
from tfx.types import standard_artifacts

from components.earlier_runs import ABSENT, KeepStatistics, KeptStatistics, PushedBaseline
from components.validation_gate.component import ValidationBlessing
from tests.support.stored_files import SAVED_MODEL


def do(component, inputs, outputs, **parameters):
    component.EXECUTOR_SPEC.executor_class().Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {name: [artifact] for name, artifact in outputs.items()},
        parameters,
    )


@pytest.fixture
def make(tmp_path):
    made = []

    def make(kind, files=(), **properties):
        artifact = kind()
        made.append(artifact)
        directory = tmp_path / f"artifact{len(made)}"
        directory.mkdir()
        artifact.uri = str(directory)
        for name, content in dict(files).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(content)
        for name, value in properties.items():
            setter = artifact.set_int_custom_property if isinstance(value, int) else artifact.set_string_custom_property
            setter(name, value)
        return artifact

    return make


@pytest.fixture
def baseline_of(make, tmp_path):
    def baseline_of(candidate):
        model = make(standard_artifacts.Model)
        export = make(standard_artifacts.Model, {"Format-Serving/fingerprint.pb": candidate})
        do(PushedBaseline, {"candidate": export}, {"model": model}, versions=str(tmp_path / "versions"))
        return model

    return baseline_of


def push(directory, number, fingerprint, *, whole=True):
    version = directory / "versions" / str(number)
    version.mkdir(parents=True)
    for name in ("fingerprint.pb", *(SAVED_MODEL if whole else SAVED_MODEL[1:])):
        (version / name).parent.mkdir(exist_ok=True)
        (version / name).write_text(fingerprint)
    return version


def test_before_the_first_push_there_is_no_baseline(baseline_of):
    assert baseline_of("a").get_int_custom_property(ABSENT) == 1


def test_the_baseline_is_the_version_pushed_last(baseline_of, tmp_path):
    for number, fingerprint in ((9, "old"), (10, "new")):
        push(tmp_path, number, fingerprint)
    model = baseline_of("candidate")
    assert model.get_string_custom_property("pushed_version") == "10"
    assert (tmp_path / model.uri / "Format-Serving/saved_model.pb").read_text() == "new"


def test_the_candidate_is_never_its_own_baseline(baseline_of, tmp_path):
    for number, fingerprint in ((9, "old"), (10, "candidate")):
        push(tmp_path, number, fingerprint)
    assert baseline_of("candidate").get_string_custom_property("pushed_version") == "9"


def test_half_a_version_is_no_baseline(baseline_of, tmp_path):
    push(tmp_path, 9, "old")
    push(tmp_path, 10, "half", whole=False)
    (tmp_path / "versions/.incoming-1").mkdir()
    assert baseline_of("candidate").get_string_custom_property("pushed_version") == "9"


@pytest.mark.parametrize("deleted", ["variables", "assets"])
def test_a_version_that_was_deleted_in_part_is_no_baseline(baseline_of, tmp_path, deleted):
    push(tmp_path, 9, "old")
    shutil.rmtree(push(tmp_path, 10, "new") / deleted)
    assert baseline_of("candidate").get_string_custom_property("pushed_version") == "9"


@pytest.fixture
def examples(make):
    return lambda span, source="ag_news": make(standard_artifacts.Examples, span=span, source=source)


@pytest.fixture
def keep(make, examples, tmp_path):
    def keep(span, content, source="ag_news"):
        do(
            KeepStatistics,
            {
                "examples": examples(span, source),
                "statistics": make(standard_artifacts.ExampleStatistics, {"Split-train/FeatureStats.pb": content}),
                "accepted": make(ValidationBlessing),
            },
            {},
            directory=str(tmp_path / "kept"),
        )

    return keep


@pytest.fixture
def kept_for(make, examples, tmp_path):
    def kept_for(span, source="ag_news"):
        current, found = make(standard_artifacts.ExampleStatistics), make(standard_artifacts.ExampleStatistics)
        current.split_names = '["train"]'
        do(
            KeptStatistics,
            {"examples": examples(span, source), "current": current},
            {"statistics": found},
            directory=str(tmp_path / "kept"),
        )
        if found.get_int_custom_property(ABSENT):
            return None
        assert found.split_names == '["train"]'
        return found.span, (tmp_path / found.uri / "Split-train/FeatureStats.pb").read_text()

    return kept_for


def test_in_the_first_run_of_a_source_there_are_no_statistics(keep, kept_for):
    keep(0, "of other rows", source="synthetic")
    assert kept_for(1) is None


def test_the_span_before_the_current_one_is_compared_with(keep, kept_for):
    for span in (1, 2, 3):
        keep(span, f"of {span}")
    assert kept_for(3) == (2, "of 2")
    assert kept_for(9) == (3, "of 3")


def test_statistics_that_were_deleted_in_part_are_not_compared_with(keep, kept_for, tmp_path):
    for span in (1, 2):
        keep(span, f"of {span}")
    [deleted] = (tmp_path / "kept").glob("*/2/Split-train")
    shutil.rmtree(deleted)
    assert kept_for(3) == (1, "of 1")


def test_without_spans_the_run_before_counts(keep, kept_for):
    keep(0, "of the first run")
    keep(0, "of the second run")
    assert kept_for(0) == (0, "of the second run")
