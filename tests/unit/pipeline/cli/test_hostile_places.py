"""Every setting and option that names a place, with values that are no such place: commands without TensorFlow."""

import json
import os
import re

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from tests.support.hostile_places import (
    OPTIONS,
    SETTINGS,
    TEXTS,
    TLS,
    VALUES,
    faults,
    imports_tensorflow,
    make_places,
    option_lines,
    path_options,
    setting_lines,
    texts_of_settings,
)


def light(lines):
    return [line for line in lines if not imports_tensorflow(line)]


def test_every_setting_that_may_be_a_place_is_tried():
    assert texts_of_settings() == {*SETTINGS, *TEXTS}


def test_every_option_that_names_a_place_is_tried():
    assert {one for one in path_options() if not one.endswith((*TLS, " --config"))} == set(OPTIONS)


@pytest.mark.parametrize("key", SETTINGS)
def test_no_setting_gives_a_trace_or_an_endless_read(tmp_path, key):
    make_places(tmp_path)
    assert not faults(light(line for value in VALUES for line in setting_lines(key, value)))


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_gives_a_trace_or_an_endless_read(tmp_path, option):
    make_places(tmp_path)
    assert not faults(light(line for value in VALUES for line in option_lines(option, value)))


@pytest.mark.parametrize("option", ["--config", *TLS])
def test_options_of_many_commands_give_no_trace_or_endless_read(tmp_path, option):
    make_places(tmp_path)
    command = (
        ("config", "show")
        if option == "--config"
        else ("classify", "--server", "127.0.0.1:1", "--timeout", "1", "text")
    )
    assert not faults((*command, option, value) for value in VALUES)


@pytest.mark.parametrize("option", [*OPTIONS, *(f"classify {option}" for option in TLS), "config show --config"])
def test_an_empty_path_is_refused_with_its_option(tmp_path, option):
    make_places(tmp_path)
    line = next(option_lines(option, "")) if option in OPTIONS else (*option.split(), "")
    ended = CliRunner().invoke(cli, line, env={"COLUMNS": "200"})
    name = option.split()[-1] if "--" in option else option.split()[-1].upper()
    assert ended.exit_code == 2
    assert re.search(rf"Invalid value for '\[?{name}.*': the path is empty; name one", ended.output)


@pytest.mark.parametrize("key", sorted({*SETTINGS, *TEXTS}))
def test_a_nul_character_is_refused_with_its_setting(tmp_path, key):
    section, name = key.split(".")
    (tmp_path / "settings.yaml").write_text(json.dumps({section: {name: "a\0b"}}))
    assert not faults(
        [("config", "show", "--config", "settings.yaml"), ("run", "--data", "nowhere", "--config", "settings.yaml")]
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("open", "pipeline.root {}/runs: Permission denied; name a place that can be written"),
        ("closed", "settings file agnews.yaml: Permission denied; name a file that can be read"),
    ],
)
def test_directories_of_another_user_are_a_mistake_of_the_user(open_directory, tmp_path, directory, message):
    """Imports in this process, since another user may be unable to read the checkout."""
    (open_directory / "runs").mkdir(mode=0o755)
    line = ("run", "--data", "nowhere", "--set", f"pipeline.root={open_directory}/runs")
    assert not faults([line])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        tmp_path.chmod(0o700)
        os.chdir(open_directory if directory == "open" else tmp_path)
        os.setuid(12345)
        os.write(writer, str(CliRunner().invoke(cli, line).exception).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        assert said.read() == message.format(open_directory)
