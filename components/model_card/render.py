"""Writes a card in all its formats: JSON, self-contained HTML, and Markdown; and reads its evidence."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from tfx.dsl.io import fileio

from components.artifact_files import FileUnavailable, read_file
from components.model_card.card import Card
from components.model_card.document import CardSection, template_environment
from components.model_card.provenance_sections import provenance_sections
from components.model_card.quality_sections import headline_figures, quality_sections
from components.model_card.standard import to_plain, to_standard

STANDARD, EVIDENCE = "model_card.json", "evidence.json"
HTML, MARKDOWN = "model_card.html", "model_card.md"

# All characters with a meaning in Markdown or in HTML within it.
_MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def write_card(card: Card, directory: str) -> None:
    """Writes `model_card.json`, `evidence.json`, `model_card.html` and `model_card.md`.

    Args:
        card: the card to write.
        directory: an existing directory.

    Raises:
        jsonschema.ValidationError: the card does not fit the published schema.
    """
    sections = [*quality_sections(card), *provenance_sections(card)]
    markdown = _render("card.md.j2", card, sections)
    files = {
        STANDARD: to_json(to_standard(card, documentation=markdown)),
        EVIDENCE: to_json(to_plain(card)),
        HTML: _render("card.html.j2", card, sections),
        MARKDOWN: markdown,
    }
    for name, content in files.items():
        with fileio.open(os.path.join(directory, name), "wb") as file:
            file.write(content.encode())


def read_evidence(card: str) -> Mapping[str, Any]:
    """Reads `evidence.json`, which has the sections of `components.model_card.card.Card`.

    Args:
        card: directory of the ModelCard artifact.

    Raises:
        FileUnavailable: the file cannot be read, or is not JSON.
    """
    path = os.path.join(card, EVIDENCE)
    try:
        return json.loads(read_file(path))
    except ValueError as error:
        raise FileUnavailable(f"{path} is not JSON: {error}; restore the file") from error


def to_json(value: object) -> str:
    """Returns a value as JSON for people to read; raises ValueError for a number that is not finite."""
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _render(template: str, card: Card, sections: list[CardSection]) -> str:
    environment = template_environment()
    environment.filters["markdown"] = markdown_text
    return environment.get_template(template).render(card=card, headlines=headline_figures(card), sections=sections)


def markdown_text(text: str) -> str:
    """Escapes a text so that Markdown shows it unchanged, on one line."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", " ".join(str(text).split()))
