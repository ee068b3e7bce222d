"""Trains on a data set of the user's own, up to the exported model; `make test-data-sets` has whole runs."""

from click.testing import CliRunner

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import Texts
from pipeline.cli.init import init
from pipeline.dag import create_pipeline
from pipeline.runners import local
from pipeline.runners.preflight import resolve_source
from pipeline.settings.sources import load
from tests.support.own_data import ARABIC, CHINESE, FOURTEEN, SMALL, write_json_lines
from tests.support.recorder import Recorder


def test_many_classes_in_several_scripts_reach_the_exported_model(tmp_path, monkeypatch):
    words = FOURTEEN | ARABIC | CHINESE
    write_json_lines(tmp_path / "rows.jsonl", words, 540)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(init, ["own", "--from", "rows.jsonl"]).exit_code == 0
    flags = dict(setting.split("=") for setting in (*SMALL.split(), "transform.tokens=characters"))
    flags = {key: (value, f"flag --set {key}") for key, value in flags.items()}
    settings = load("default", tmp_path / "own/agnews.yaml", flags, environ={}).settings
    pipeline = create_pipeline(settings, resolve_source(settings), until="Trainer")
    local.run(pipeline, "run", settings.pipeline.make_root(), Recorder())
    [export] = tmp_path.glob("own/../runs/own/Trainer/model/*/Format-Serving")
    model = ExportedModel(str(export), tuple(sorted(words)))
    texts = list(words.values())
    answers = model.probabilities(Texts([""] * len(texts), texts)).argmax(axis=1)
    right = [model.class_names[answer] == name for answer, name in zip(answers, words, strict=True)]
    assert sum(right) >= len(words) - 2
