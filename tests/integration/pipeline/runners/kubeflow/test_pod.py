import json

import pytest

from pipeline.runners.kubeflow import find_data, pod
from schema.errors import DataError, NothingToTrain

DECLARED = {
    "artifacts": {
        "model": {"artifactType": {"instanceSchema": "title: tfx.Model"}},
        "baseline": {"artifactType": {"instanceSchema": "title: tfx.Model"}},
    }
}


def artifact(uri, **more):
    return {"artifacts": [{"uri": uri, "type": {"schemaTitle": "system.Artifact"}, **more}]}


def invocation(*, inputs=None, outputs=None, parameters=None):
    return {
        "inputs": {"artifacts": inputs or {}, "parameterValues": parameters or {}},
        "outputs": {"artifacts": outputs or {}, "outputFile": "/tmp/out.json"},
    }


def test_a_parameter_takes_the_place_of_an_execution_property():
    filled = pod.fill({"base": "old", "data_path": "/new"}, ["base={data_path}"])
    assert filled == {"base": "/new"}


def test_a_parameter_keeps_its_type_in_the_json_of_a_property():
    filled = pod.fill({"custom_config": '{"epochs": 5, "seed": 1}', "epochs": 3}, ["custom_config.epochs={epochs}"])
    assert json.loads(filled["custom_config"]) == {"epochs": 3, "seed": 1}


def test_a_whole_number_stays_one_where_json_says_it_with_a_point():
    filled = pod.fill({"custom_config": '{"epochs": 5}', "epochs": 3.0}, ["custom_config.epochs={epochs}"])
    assert filled["custom_config"] == '{"epochs": 3}'


def test_a_template_may_hold_text_around_the_parameter():
    filled = pod.fill(
        {"push": '{"filesystem": {"base": "x"}}', "log": "y", "place": "/a"},
        ["push.filesystem.base={place}/agnews", "log={place}/audit.jsonl"],
    )
    assert filled == {"push": '{"filesystem": {"base": "/a/agnews"}}', "log": "/a/audit.jsonl"}


def test_a_place_that_does_not_exist_is_an_error():
    with pytest.raises(KeyError, match="epoch is not in"):
        pod.fill({"custom_config": '{"epochs": 5}', "n": 3}, ["custom_config.epoch={n}"])


def test_artifacts_are_named_by_their_uri_and_typed_as_declared():
    given = invocation(inputs={"model": artifact("/a/model", name="17")}, outputs={"out": artifact("/a/out")})
    prepared = pod.prepare(given, DECLARED, [])
    [model] = prepared["inputs"]["artifacts"]["model"]["artifacts"]
    assert (model["name"], model["type"]) == ("/a/model", {"instanceSchema": "title: tfx.Model"})
    assert prepared["outputs"]["artifacts"]["out"]["artifacts"][0]["name"] == "/a/out"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("minio://mlpipeline/v2/model", "/minio/mlpipeline/v2/model"),
        ("s3://bucket/model", "/s3/bucket/model"),
        ("gs://bucket/model", "gs://bucket/model"),
        ("/agnews/model", "/agnews/model"),
    ],
)
def test_what_tfx_cannot_read_is_where_the_launcher_copied_it(uri, place):
    prepared = pod.prepare(invocation(inputs={"model": artifact(uri)}), DECLARED, [])
    [model] = prepared["inputs"]["artifacts"]["model"]["artifacts"]
    assert (model["uri"], model["name"]) == (place, uri)


def test_the_output_has_kubeflows_uris_again():
    given = invocation(outputs={"model": artifact("minio://bucket/model")})
    output = {"artifacts": {"model": {"artifacts": [{"uri": "/minio/bucket/model", "metadata": {"a": 1}}]}}}
    [restored] = pod.restore(output, given)["artifacts"]["model"]["artifacts"]
    assert restored == {"uri": "minio://bucket/model", "metadata": {"a": 1}}


def test_an_input_that_does_not_exist_is_left_out():
    inputs = {"model": artifact("/a"), "baseline": artifact("/b", metadata={"absent": 1.0})}
    assert set(pod.prepare(invocation(inputs=inputs), DECLARED, [])["inputs"]["artifacts"]) == {"model"}


def test_found_data_are_execution_properties_and_properties_of_the_examples():
    found = {"input_config": "{}", "span": 3, "version": 2, "input_fingerprint": "abc"}
    given = invocation(outputs={"examples": artifact("/e")}, parameters={"found_data": json.dumps(found)})
    prepared = pod.prepare(given, {}, [])
    assert prepared["inputs"]["parameterValues"] == found
    [examples] = prepared["outputs"]["artifacts"]["examples"]["artifacts"]
    assert (examples["metadata"]["span"], examples["metadata"]["input_fingerprint"]) == (3, "abc")
    assert "input_config" not in examples["metadata"]


def test_a_users_error_ends_the_pod_with_its_message_and_status(caplog):
    with pytest.raises(SystemExit) as end, pod.ending_with_the_message():
        raise DataError("there are no rows")
    assert end.value.code == 3
    assert "there are no rows" in caplog.text


def test_an_empty_span_fails_the_pod(caplog):
    with pytest.raises(SystemExit) as end, pod.ending_with_the_message():
        raise NothingToTrain("the span is empty")
    assert end.value.code == 3
    assert "the span is empty" in caplog.text


def test_a_pod_makes_no_files_that_all_users_may_write(umask, tmp_path):
    with pod.ending_with_the_message():
        (tmp_path / "artifact").touch()
    assert (tmp_path / "artifact").stat().st_mode & 0o777 == 0o666 & ~(umask | 0o002)


PATTERNS = json.dumps({"splits": [{"name": n, "pattern": f"{{SPAN}}/v{{VERSION}}/{n}.csv"} for n in ("train", "test")]})


@pytest.fixture
def spans(tmp_path):
    for place in ("1/v1", "1/v2", "2/v1"):
        (tmp_path / place).mkdir(parents=True)
        for name in ("train", "test"):
            (tmp_path / place / f"{name}.csv").write_text(place)
    return str(tmp_path)


def test_the_latest_span_is_found_in_its_latest_version(spans):
    found = find_data.find(spans, PATTERNS, -1)
    assert (found["span"], found["version"]) == (2, 1)
    patterns = [split["pattern"] for split in json.loads(found["input_config"])["splits"]]
    assert patterns == ["2/v1/train.csv", "2/v1/test.csv"]


def test_a_span_can_be_asked_for(spans):
    found = find_data.find(spans, PATTERNS, 1)
    assert (found["span"], found["version"]) == (1, 2)


def test_the_fingerprint_follows_the_files(spans, tmp_path):
    before = find_data.find(spans, PATTERNS, 2)["input_fingerprint"]
    (tmp_path / "2/v1/train.csv").write_text("something else")
    assert find_data.find(spans, PATTERNS, 2)["input_fingerprint"] != before


def test_a_span_without_data_is_an_error_that_names_it(spans):
    with pytest.raises(DataError, match=r"no file of span 7 .*Correct data_path or span of the run"):
        find_data.find(spans, PATTERNS, 7)


def test_patterns_without_spans_have_neither_span_nor_version(tmp_path):
    (tmp_path / "train.csv").write_text("x")
    found = find_data.find(str(tmp_path), json.dumps({"splits": [{"name": "train", "pattern": "train.csv"}]}), -1)
    assert found["span"] == 0
    assert "version" not in found
