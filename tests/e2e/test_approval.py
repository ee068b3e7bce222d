"""A run that waits for an approval, is given one, and pushes."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.e2e

REQUIRED = ["--set", "promotion.require_approval=true"]


@pytest.fixture(scope="module")
def story(workplace):
    workplace.make_data("data")
    told = SimpleNamespace(workplace=workplace)
    workplace.environment["AGNEWS_IDENTITY"] = "ann@here"
    told.waiting = workplace.run(*REQUIRED)
    told.versions_while_waiting = workplace.versions
    [told.model] = re.findall(r"agnews approve (\d+)", told.waiting.output)

    def agnews(*arguments):
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(
            command, cwd=workplace.directory, env=workplace.environment, capture_output=True, text=True, timeout=120
        )

    told.by_author = agnews("approve", told.model, "--reason", "mine")
    told.approved = agnews("approve", told.model, "--by", "bob@here", "--reason", "good enough")
    told.pushed = workplace.run(*REQUIRED)
    told.verified = agnews("audit", "verify"), agnews("verify", "serving_model")
    return told


def test_without_an_approval_the_run_ends_before_the_push_and_says_what_to_do(story):
    assert story.waiting.status == 8
    assert "not pushed yet: waiting for approval: agnews approve" in story.waiting.output
    assert "Traceback" not in story.waiting.output
    assert "AgNewsPusher" not in story.waiting.states
    assert story.versions_while_waiting == []


def test_who_trained_it_cannot_approve_it(story):
    assert story.by_author.returncode == 9
    assert "ann@here trained it" in story.by_author.stderr


def test_after_the_approval_the_same_run_trains_nothing_and_pushes(story):
    assert story.approved.returncode == 0, story.approved.stderr
    assert story.pushed.status == 0
    assert story.pushed.states["Trainer"] == "cached"
    assert story.pushed.states["ApprovalGate"] == story.pushed.states["AgNewsPusher"] == "done"
    assert len(story.workplace.versions) == 1


def test_the_trail_and_what_is_served_are_as_they_were_written(story):
    trail, served = story.verified
    assert "2 entries, as they were written; 2 of them known to the metadata store" in trail.stdout
    assert f"agnews/{story.workplace.versions[0]}: as it was pushed" in served.stdout
