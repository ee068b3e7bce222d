"""Checks that the card's files fit the published schema, are self-contained, and show any text unchanged."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifact_files import FileUnavailable
from components.model_card.quality import WrongAnswer
from components.model_card.render import markdown_text, read_evidence, write_card
from components.model_card.standard import closed_schema, to_standard
from tests.support.browser import axe_problems, launched


class Page(HTMLParser):
    """Collects the tags with their attributes, and the texts of one tag."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.errors = [], []
        self._open = []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "line", "circle", "polyline"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if self._open.pop() != tag:
            self.errors.append(tag)

    def having(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(written):
    return Page(written / "model_card.html")


def test_the_json_fits_the_published_schema(written):
    card = json.loads((written / "model_card.json").read_text())
    jsonschema.validate(card, closed_schema())
    assert card["schema_version"] == "0.0.2"
    assert card["model_details"]["owners"][0]["contact"]


def test_a_field_that_the_schema_does_not_know_is_an_error(card, monkeypatch):
    standard = to_standard(card, documentation="")
    standard["model_details"]["colour"] = "blue"
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate(standard, closed_schema())


def test_metrics_in_the_json_have_their_slice_and_interval(written, card):
    metrics = json.loads((written / "model_card.json").read_text())["quantitative_analysis"]["performance_metrics"]
    [overall] = [metric for metric in metrics if metric["type"] == "accuracy" and "slice" not in metric]
    assert float(overall["value"]) == pytest.approx(card.quality.slices["all"].accuracy.value, rel=1e-5)
    assert float(overall["confidence_interval"]["lower_bound"]) < float(overall["value"])
    slices = {metric.get("slice") for metric in metrics}
    assert {"label=World", "class=Sports", "typos", "test, length_bucket=short", "epoch=3"} <= slices


def test_the_evidence_holds_every_section_as_numbers(written, card):
    evidence = json.loads((written / "evidence.json").read_text())
    assert set(evidence) == {field.name for field in dataclasses.fields(card)}
    assert evidence["baseline"] == {"not_available": "no other blessed model is there"}
    assert evidence["quality"]["confusion"] == card.quality.confusion


def test_damaged_and_deleted_evidence_is_an_error_that_names_the_file(tmp_path):
    for content, reason in ((None, "cannot be read; it may have been deleted"), (b'{"data": \xff', "is not JSON")):
        if content:
            (tmp_path / "evidence.json").write_bytes(content)
        with pytest.raises(FileUnavailable, match=f"{re.escape(str(tmp_path))}/evidence.json {reason}"):
            read_evidence(str(tmp_path))


def test_a_metric_that_is_no_number_leaves_the_files_valid(card, tmp_path):
    quality = dataclasses.replace(card.quality, overall={"auc": float("nan")})
    write_card(dataclasses.replace(card, quality=quality), str(tmp_path))
    assert json.loads((tmp_path / "evidence.json").read_text())["quality"]["overall"] == {"auc": None}
    assert json.loads((tmp_path / "model_card.json").read_text())


def test_texts_that_must_pass_are_in_every_form_of_the_card(card, written):
    reason = "'Oil <up> Prices rise' must be Business, the model answers World with probability 0.5000"
    assert reason in card.verdicts.reasons
    assert reason in json.loads((written / "evidence.json").read_text())["verdicts"]["reasons"]
    assert "Texts that must be classified correctly" in (written / "model_card.md").read_text()
    html = (written / "model_card.html").read_text()
    assert re.search("Oil &lt;up&gt; Prices rise.*?Business.*?World.*?MISSED", html, re.DOTALL)


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert not page.having("script") + page.having("link") + page.having("img")
    assert [tag for tag, attributes in page.tags if "src" in attributes] == []
    assert all(link["href"].startswith("#") for link in page.having("a"))
    policies = [meta["content"] for meta in page.having("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_every_plot_has_a_text_alternative(page):
    plots, ids = page.having("svg"), [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(plots) == 5
    for plot in plots:
        assert plot["role"] == "img"
        assert set(plot["aria-labelledby"].split()) <= set(ids)
    assert len(ids) == len(set(ids))


def test_tags_are_closed_in_order_and_links_lead_somewhere(page):
    assert page.errors == []
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {link["href"].removeprefix("#") for link in page.having("a")} <= ids


def test_headings_and_cells_say_what_they_belong_to(page):
    assert {attributes["scope"] for attributes in page.having("th")} == {"row", "col"}
    assert len(page.having("caption")) == len(page.having("table")) > 10


def test_markup_in_a_text_of_the_data_is_shown_and_not_obeyed(card, tmp_path):
    wrong = WrongAnswer("1", "<script>x</script>", "a | b\n# c *d* [e](f) `g`", "World", "Sports", 0.9)
    write_card(dataclasses.replace(card, errors=(wrong,)), str(tmp_path))
    assert Page(tmp_path / "model_card.html").having("script") == []
    [row] = [line for line in (tmp_path / "model_card.md").read_text().splitlines() if r"\<script" in line]
    assert row.replace(r"\|", "").count("|") == 6
    assert r"a \| b \# c \*d\* \[e\](f) \`g\`" in row


@given(st.text())
def test_any_text_stays_on_one_line_of_markdown_and_opens_no_cell(text):
    shown = markdown_text(text)
    assert len(shown.splitlines()) <= 1
    assert "|" not in shown.replace(r"\\", "").replace(r"\|", "")


def test_axe_finds_nothing_on_a_card_and_a_phone_shows_each_verdict(written):
    with launched() as browser:
        page = browser.new_page()
        page.goto((written / "model_card.html").as_uri())
        assert axe_problems(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        cell = page.locator("#verdict ~ .scroll td").first.bounding_box()
        assert cell["x"] + cell["width"] <= 390


def test_the_card_begins_with_its_main_figures_in_words(written, card):
    page, text = (written / "model_card.html").read_text(), (written / "model_card.md").read_text()
    assert page.index('class="figures"') < page.index("<main>")
    weakest = min(card.quality.classes, key=lambda name: card.quality.classes[name].recall.value)
    for document in (page, text):
        assert f"Recall of {weakest}" in document
        assert "recall of Sports" in document
        assert "label=" not in document.partition("Calibration")[0]


def test_a_confusion_matrix_has_the_share_of_each_true_class(written, card):
    counts = card.quality.confusion[0]
    assert f"{100 * counts[0] / sum(counts):.1f} % ({counts[0]:,})" in (written / "model_card.html").read_text()
