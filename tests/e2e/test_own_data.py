"""Runs the commands of docs/guides/your-own-data.md: from a file of German tickets to a served model."""

import re

import pytest

from tests.support import ROOT
from tests.support.own_data import Shell, write_tickets

pytestmark = [pytest.mark.e2e, pytest.mark.data_sets]

GUIDE = (ROOT / "docs/guides/your-own-data.md").read_text()


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    from tests.support.sandbox import PipelineSandbox

    sandbox = PipelineSandbox(tmp_path_factory.mktemp("own-data"))
    write_tickets(sandbox.directory / "tickets.csv")
    shell = Shell(sandbox.directory, sandbox.environment)
    (sandbox.directory / "must_pass.csv").write_text("Kategorie;Text\nStörung;Server abgestürzt Fehler\n")
    [commands, _] = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    gates = ("evaluator.must_pass_file=../must_pass.csv", "evaluator.min_slice_accuracy={kanal=Telefon: 0.4}")
    outputs = {line: shell.run(line, *gates) for line in commands.splitlines()}
    return shell, outputs


def test_the_classes_of_the_file_are_in_every_output(story):
    from components.model_card.predictions import read_predictions

    shell, outputs = story
    assert "3 classes: Kündigung, Rechnung, Störung" in next(iter(outputs.values()))
    described, ran = outputs["agnews data describe"], outputs["agnews run"]
    assert all(name in described for name in ("Kündigung", "Rechnung", "Störung"))
    assert all(f"class {name}" in ran for name in ("Kündigung", "Rechnung", "Störung"))
    assert "World" not in described + ran
    assert re.search(r"kanal=E-Mail .*\nkanal=Telefon .*≥ 0\.4", ran)
    [card] = shell.directory.glob("runs/tickets/ModelCardGen/model_card/*/model_card.md")
    text = card.read_text()
    assert "tickets classifier" in text
    assert not re.search(r"World|Sports|English|AG News", text)
    assert "kanal=Telefon" in text
    assert re.search(r"Server abgestürzt Fehler \| Störung \| Störung \| [0-9.]+ \| passed", text)
    columns = read_predictions(str(card.parent)).columns
    assert set(columns["kanal"]) == {"E-Mail", "Telefon"}
    # In the file, numbers count the rows, of which every second one came by telephone.
    assert all(
        int(number) % 2 == (name == "Telefon")
        for number, name in zip(*map(columns.get, ("source_id", "kanal")), strict=True)
    )


def test_the_pushed_model_answers_over_grpc_with_the_classes_of_the_file(story):
    from serving.client import Client
    from tests.support.model_servers import serving

    shell, _ = story
    base = str(shell.directory / "serving_model/tickets")
    texts = ["Server abgestürzt Fehler Meldung Ausfall", "Mahnung Betrag Konto Zahlung Beleg"]
    with (
        serving(model_name="tickets", model_base_path=base) as running,
        Client(f"127.0.0.1:{running.server.grpc_port}", model_name="tickets") as client,
    ):
        answers = client.classify(texts)
        assert client.text_columns() == ("text",)
    assert [answer.label for answer in answers] == ["Störung", "Rechnung"]
    assert set(answers[0].probabilities) == {"Kündigung", "Rechnung", "Störung"}
