"""The documentation's links lead somewhere, and its records keep their form."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RECORDS = sorted((ROOT / "docs/explanation/decisions").glob("0*.md"))


def prose(page):
    """The page's text without blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """The fragments that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith(("http://", "https://")):
            continue
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_decision_record_is_short_and_has_its_sections(record):
    text = record.read_text()
    assert len(text.splitlines()) <= 25
    assert re.match(rf"# {int(record.name[:4])}\. .+\n\n\*\*Status:\*\* (accepted|superseded)", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_index_of_decisions_lists_each_record_by_its_title():
    index = (RECORDS[0].parent / "README.md").read_text()
    titles = [record.read_text().splitlines()[0].removeprefix("# ") for record in RECORDS]
    expected = [title.replace(". ", ". [", 1) + f"]({path.name})" for title, path in zip(titles, RECORDS, strict=True)]
    assert re.findall(r"^\d+\. .+$", index, re.MULTILINE) == expected


def test_the_glossary_is_sorted_and_defines_each_word_once():
    words = re.findall(r"^\| (\w[^|]*) \|", (ROOT / "docs/reference/glossary.md").read_text(), re.MULTILINE)[1:]
    assert words == sorted(set(words), key=str.lower)
    assert {"span", "window", "baseline", "loadable", "skew"} <= set(words)
