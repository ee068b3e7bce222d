import json

from components.trainer import export
from components.trainer.architectures import build_network
from components.trainer.shapes import architecture
from schema.model_contract import TRAINING_FACTS


def test_layer_facts_have_shapes_and_parameters():
    network = build_network(architecture("stacked_bilstm", embedding_dim=8, units=4), vocabulary_size=20, classes=4)
    facts = {fact["name"]: fact for fact in export.layer_facts(network)}
    assert facts["embedding"]["shape"] == ["batch", "time", 8]
    assert facts["embedding"]["parameters"] == 160
    assert facts["recurrent_1"]["kind"] == "Bidirectional(FusedLSTM)"
    assert facts["recurrent_2"]["shape"] == ["batch", "time", 8]
    assert facts["logits"]["shape"] == ["batch", 4]
    assert sum(fact["parameters"] for fact in facts.values()) == network.count_params()


def test_facts_are_written_into_the_export(tmp_path):
    export.write_facts({"rows": 3}, str(tmp_path / "export"))
    assert json.loads((tmp_path / "export" / TRAINING_FACTS).read_text()) == {"rows": 3}


def test_times_are_written_next_to_the_export_and_read_with_it(tmp_path):
    history = {"loss": [0.5], "seconds": [9.0], "rows_per_second": [100.0]}
    facts = {"rows": 3, "seconds": 10.5, "history": history}
    export.write_facts(facts, str(tmp_path / "export"))
    assert json.loads((tmp_path / "export" / TRAINING_FACTS).read_text()) == {"rows": 3, "history": {"loss": [0.5]}}
    assert export.read_facts(str(tmp_path / "export")) == facts


def test_curves_are_written_as_png_and_svg(tmp_path):
    history = {
        "loss": [0.5, 0.3],
        "val_loss": [0.4, 0.35],
        "accuracy": [0.8, 0.9],
        "val_accuracy": [0.85, 0.9],
        "learning_rate": [1e-3, 0.0],
    }
    export.write_curves(history, 2, str(tmp_path / "training"))
    assert (tmp_path / "training/curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "training/curves.svg").read_text()
