"""Commands are in groups; the names that they had before still work."""

import pytest
from click.testing import CliRunner

from pipeline.cli import cli, use_current_name

FORMER_NAMES = [
    (["promote"], ["versions", "promote"]),
    (["rollback"], ["versions", "rollback"]),
    (["prune"], ["versions", "prune"]),
    (["verify"], ["versions", "verify"]),
    (["canary", "report"], ["versions", "canary"]),
    (["canary"], ["versions", "canary"]),
    (["approve"], ["approvals", "approve"]),
    (["reject"], ["approvals", "reject"]),
    (["model", "describe"], ["models", "describe"]),
]


def run(*arguments):
    return CliRunner().invoke(cli, arguments, prog_name="agnews")


@pytest.mark.parametrize(("former", "current"), FORMER_NAMES, ids=" ".join)
def test_a_former_name_runs_the_command_and_names_the_current_one(former, current):
    ended = run(*former, "--help")
    assert ended.stderr == f"note: the command is now `agnews {' '.join(current)}`\n"
    assert ended.stdout == run(*current, "--help").stdout
    assert f"Usage: agnews {' '.join(current)}" in ended.stdout


@pytest.mark.parametrize(("former", "current"), FORMER_NAMES, ids=" ".join)
def test_help_lists_current_names_only(former, current):
    assert f"\n  {former[0]} " not in run("--help").output
    assert f"\n  {current[1]} " in run(current[0], "--help").output


@pytest.mark.parametrize("group", ["versions", "approvals"])
def test_options_without_a_command_list_as_they_did_before(group):
    ended = run(group, "--no-such-option")
    assert ended.stderr.startswith(f"note: the command is now `agnews {group} list`\nUsage: agnews {group} list")


@pytest.mark.parametrize("group", ["versions", "approvals"])
def test_a_former_list_without_options_still_lists(group):
    assert use_current_name([group]) == [group, "list"]
    assert use_current_name([group, "--help"]) == [group, "--help"]


@pytest.mark.parametrize("group", ["audit", "models", "artifacts", "data", "schema", "config"])
def test_a_group_without_a_command_shows_its_help(group):
    ended = run(group)
    assert (ended.exit_code, ended.output) == (2, run(group, "--help").output)


@pytest.mark.parametrize(
    ("misspelled", "meant"), [("promot", "versions promote"), ("aprove", "approvals approve"), ("clasify", "classify")]
)
def test_a_misspelled_name_leads_to_the_current_one(misspelled, meant):
    assert f"did you mean {meant!r}?" in run(misspelled).output


def test_click_completes_a_former_name_without_a_note():
    context = cli.make_context("agnews", ["promote"], resilient_parsing=True)
    assert cli.resolve_command(context, ["promote"])[0] == "versions"
