import json
import re
import subprocess
import sys

import pytest

from pipeline.settings.sources import KEYS
from schema.errors import AgNewsError, SettingsError, StoreError
from scripts import write_reference
from serving.client.errors import DeadlineError
from serving.promotion.errors import PromotionError
from tests.support import ROOT


@pytest.fixture(scope="module")
def pages():
    """The pages, written in a process of their own: click keeps the help option that a test saw first."""
    code = "import json; from scripts import write_reference; print(json.dumps(write_reference.pages()))"
    return json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "exit-codes.md"])
def test_a_generated_page_is_up_to_date(pages, name):
    assert (write_reference.REFERENCE / name).read_text() == pages[name], "run `make reference` and commit the result"


def test_the_settings_page_has_each_key_with_its_variable(pages):
    rows = re.findall(r"^\| `(\S+)` .*\| `(AGNEWS_\w+)` \| (.+) \|$", pages["settings.md"], re.MULTILINE)
    assert [key for key, _, _ in rows] == list(KEYS)
    assert ("trainer.epochs", "AGNEWS_TRAINER__EPOCHS") in [row[:2] for row in rows]


def test_the_settings_page_shows_what_a_profile_changes(pages):
    [row] = [line for line in pages["settings.md"].splitlines() if line.startswith("| `evaluator.min_accuracy`")]
    assert "| `0.88`<br>sample: `0.8` |" in row


def test_the_commands_page_has_commands_of_groups_as_they_are_called(pages):
    headings = re.findall(r"^## (.+)$", pages["commands.md"], re.MULTILINE)
    assert {"agnews", "agnews run", "agnews audit verify", "agnews kubeflow submit"} <= set(headings)
    assert "-h, --help" in pages["commands.md"]


def test_errors_are_listed_with_the_status_that_they_have():
    listed = {error.name: (error.exit_code, error.may_pass) for error in write_reference.find_errors()}
    for error in (SettingsError, StoreError, DeadlineError, PromotionError):
        assert listed[error.__name__] == (error.exit_code, error.may_pass)
    assert AgNewsError.__name__ not in listed
