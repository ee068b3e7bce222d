"""Checks the documentation: links, command lines, the diagram of packages, records, and words."""

import re
import shlex
import subprocess
import sys
import tomllib

import click
import pytest

from pipeline.cli import cli
from tests.support import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RECORDS = sorted((ROOT / "docs/explanation/decisions").glob("0*.md"))


def prose(page):
    """Returns the page's text without blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Returns the fragments that GitHub gives to the page's headings."""
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


def command_lines(text):
    """Yields the arguments of each `agnews` command in blocks and in inline code, without the name."""
    blocks = re.findall(r"^```(?:bash[\w -]*)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`(agnews [a-z-][^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in lines:
        if not re.search(r"(^|[\s/(])agnews [a-z-]", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        operators = [place for place, word in enumerate(words) if set(word) <= set("();<>|&")]
        for start, word in enumerate(words):
            begins = start == 0 or start - 1 in operators or words[start - 1] == "--"
            if begins and (word == "agnews" or word.endswith("/bin/agnews")):
                yield words[start + 1 : min((place for place in operators if place > start), default=len(words))]


def parse(command, words, parent=None, name="agnews"):
    """Parses a command line as click would, without converting values and without running it."""
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        nested = command.get_command(context, words[0])
        assert nested is not None, f"{context.command_path} has no command {words[0]}"
        return parse(nested, words[1:], context, words[0])
    return command.make_parser(context).parse_args(args=list(words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documentation_and_their_options_exist(page):
    """Pages that show output are left out: help texts have tests of their own."""
    if page.name in ("commands.md", "run-output.md"):
        return
    for words in command_lines(page.read_text()):
        try:
            parse(cli, words)
        except click.UsageError as error:
            pytest.fail(f"agnews {shlex.join(words)}: {error.format_message()}")


def test_command_lines_are_found_in_blocks_and_inline_code():
    text = (
        "`agnews run --span 1`\n```\n.venv/bin/agnews classify 'a; b' | head  # one\nX=$(agnews versions list)\n```\n"
    )
    assert list(command_lines(text)) == [["classify", "a; b"], ["versions", "list"], ["run", "--span", "1"]]


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["run", "--no-such-option"], ["audit", "verify", "--keep", "5"]]
)
def test_an_unknown_command_or_option_is_found(words):
    with pytest.raises((AssertionError, click.UsageError)):
        parse(cli, words)


def test_the_diagram_of_packages_shows_the_layers_that_lint_checks():
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    [diagram] = re.findall(r"^```mermaid\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    boxes = [re.findall(r'\["([\w.]+)"\]', line) for line in diagram.splitlines()]
    drawn = [set(names) for names in boxes if names]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers, serving = (
        [set(layer.split(" | ")) for layer in contract["layers"]] for contract in contracts if "layers" in contract
    )
    nested = [{f"serving.{name}" for name in layer} for layer in serving]
    place = layers.index({"serving"})
    assert drawn == [*layers[:place], *nested, *layers[place + 1 :]]


def test_the_index_links_each_page():
    index = (ROOT / "docs/README.md").read_text()
    linked = {(ROOT / "docs" / path).resolve() for path in re.findall(r"\]\(([^)#]+)", index)}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in RECORDS}
    assert pages - linked == {ROOT / "docs/README.md"}


def test_the_readme_fits_on_one_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 80


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Returns the newest version.", []),
        ("Tells what lies beside it.", ["Tells", "lies", "beside"]),  # codespell:ignore
        ("Returns teh version.", ["teh"]),  # codespell:ignore
    ],
    ids=["plain", "words to avoid", "misspelled"],
)
def test_the_prose_linter_finds_misspellings_and_words_to_avoid(tmp_path, text, found):
    (tmp_path / "page.md").write_text(text)
    command = [sys.executable, "-m", "codespell_lib", str(tmp_path / "page.md")]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == (65 if found else 0), checked.stdout + checked.stderr
    assert [line.split()[1] for line in checked.stdout.splitlines()] == found
