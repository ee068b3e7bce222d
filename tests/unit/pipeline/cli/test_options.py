import click
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import SettingsError
from serving.request_log_proxy import main
from tests.support.hostile_places import all_commands

NUMBERS = [
    pytest.param(param, id=f"{name} {param.opts[0]}")
    for name, command in [*all_commands(), ("request_log_proxy", main)]
    for param in command.params
    if isinstance(param.type, click.types.FloatParamType)
]


@pytest.mark.parametrize("param", NUMBERS)
@pytest.mark.parametrize("text", ["nan", "inf"])
def test_an_option_that_is_a_number_refuses_what_is_not_finite(param, text):
    with pytest.raises(click.BadParameter, match=r"is not (a finite number|in the range)"):
        param.type.convert(text, param, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["approvals", "approve", "1", "--reason", "good"],
        ["clean"],
        ["labels", "add", __file__],
        ["versions", "promote", "1", "--label", "stable"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(arguments, name):
    """A script's unset variable must not record the decision under another name."""
    error = CliRunner().invoke(cli, [*arguments, "--by", name]).exception
    assert isinstance(error, SettingsError)
    assert "--by is empty" in str(error)
