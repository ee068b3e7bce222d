"""Takes small data sets of other classes, scripts and formats from a file to a served model: `make test-data-sets`."""

import shutil

import pandas as pd
import pytest

from tests.support.own_data import ARABIC, CHINESE, FOURTEEN, TWO, Shell, make_texts, write_json_lines

pytestmark = [pytest.mark.e2e, pytest.mark.data_sets]


def write_csv(path, words, rows):
    table = pd.DataFrame(make_texts(words, rows), columns=["text", "label"])
    table.to_csv(path, sep=";", index=False, encoding="utf-8-sig")


def write_shards(path, words, rows):
    table = pd.DataFrame(make_texts(words, rows), columns=["text", "label"])
    for shard in range(2):
        table[shard::2].to_parquet(path.with_name(f"train-0000{shard}-of-00002.parquet"))


SETS = {
    "fourteen": (FOURTEEN, lambda base: write_json_lines(base / "rows.jsonl", FOURTEEN, 1_400), "rows.jsonl"),
    "two": (
        TWO,
        lambda base: write_shards(base / "train", TWO, 600),
        "train-00000-of-00002.parquet train-00001-of-00002.parquet",
    ),
    "arabic": (ARABIC, lambda base: write_csv(base / "rows.csv", ARABIC, 600), "rows.csv"),
    "chinese": (CHINESE, lambda base: write_json_lines(base / "rows.jsonl", CHINESE, 600, separator=""), "rows.jsonl"),
}


@pytest.mark.parametrize("name", SETS)
def test_a_data_set_goes_from_a_file_to_a_served_model(tmp_path, name):
    from serving.client import Client
    from tests.support.model_servers import serving
    from tests.support.sandbox import PipelineSandbox

    words, write, files = SETS[name]
    sandbox = PipelineSandbox(tmp_path)
    write(sandbox.directory)
    shell = Shell(sandbox.directory, sandbox.environment)
    shell.run(f"agnews init {name} --from {files}")
    shell.run(f"cd {name}")
    assert all(word in shell.run("agnews data describe") for word in words)
    shell.run("agnews run")
    with (
        serving(model_name=name, model_base_path=str(shell.directory / f"serving_model/{name}")) as running,
        Client(f"127.0.0.1:{running.server.grpc_port}", model_name=name) as client,
    ):
        texts = [text if name != "chinese" else text.replace(" ", "") for text in words.values()]
        answers = client.classify(texts)
    assert set(answers[0].probabilities) == set(words)
    assert sum(answer.label == expected for answer, expected in zip(answers, words, strict=True)) >= len(words) - 2
    if name == "two":
        _reproduce(shell)


def _reproduce(shell):
    """Repeats the training after its prepared rows were deleted."""
    [transformed] = shell.directory.glob("runs/*/Transform/transformed_examples")
    shutil.rmtree(transformed)
    [version] = shell.directory.glob("serving_model/*/[0-9]*")
    ended = shell.run(f"agnews reproduce {version.name} --directory again")
    assert "ingested again from" in ended
    assert ended.rstrip().endswith("the same")
