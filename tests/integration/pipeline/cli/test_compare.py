import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.cli.compare import NETWORKS
from schema.errors import SettingsError


def agnews(*arguments):
    return CliRunner().invoke(cli, ["compare", *arguments])


def test_help_names_the_networks_and_gives_an_example():
    shown = agnews("--help")
    assert shown.exit_code == 0
    assert "|".join(NETWORKS) in "".join(shown.output.split())
    assert "Example:  agnews compare" in shown.output


def test_a_network_that_does_not_exist_is_an_error_that_names_those_that_do():
    ended = agnews("--network", "transformer")
    assert ended.exit_code == 2
    assert "'transformer' is not one of 'simple_rnn_titles', 'simple_rnn', 'lstm', 'stacked_bilstm'" in ended.output


@pytest.mark.parametrize("wrong", [("--seeds", "0"), ("--fraction", "1.5")])
def test_a_number_out_of_its_range_is_an_error(wrong):
    ended = agnews(*wrong)
    assert ended.exit_code == 2
    assert wrong[0] in ended.output


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    """Replaces the steps of a comparison with fast ones; returns the arguments of each step."""
    from pipeline.cli import data as cli_data
    from pipeline.experiments.compare import compare, data
    from pipeline.experiments.compare.candidates import Outcome
    from pipeline.experiments.compare.table import ComparisonRow

    calls = {}

    def prepare(settings, source, watcher):
        calls["prepare"] = source
        return "rows"

    def run(rows, settings, *, report, **options):
        calls["compare"] = {"rows": rows, **options}
        report("training [red]")
        return [ComparisonRow(name, [Outcome(name, 1, [True, False], 2.0)]) for name in options["networks"]]

    monkeypatch.setattr(cli_data, "resolve_source", lambda settings: "source")
    monkeypatch.setattr(data, "prepare", prepare)
    monkeypatch.setattr(compare, "compare", run)
    calls["root"] = ("--set", f"pipeline.root={tmp_path / 'runs'}")
    return calls


def test_table_and_plots_are_left(prepared, tmp_path, capfd):
    ended = agnews(
        "--network", "lstm", "--seeds", "2", "--no-baselines", "--to", str(tmp_path / "to"), *prepared["root"]
    )
    assert ended.exit_code == 0, ended.output
    assert "50.00" in ended.output
    assert (tmp_path / "to" / "comparison.md").read_text().splitlines()[2].startswith("| lstm | 1 | 50.00 |")
    assert all((tmp_path / "to" / f"comparison.{suffix}").stat().st_size > 1_000 for suffix in ("png", "svg"))
    given = prepared["compare"]
    assert (given["rows"], given["networks"], given["seeds"], given["baselines"]) == ("rows", ("lstm",), 2, False)
    assert "training [red]" in capfd.readouterr().out


def test_by_default_all_networks_are_compared_under_the_root(prepared, tmp_path):
    agnews(*prepared["root"])
    assert prepared["compare"]["networks"] == NETWORKS
    assert prepared["compare"]["results"] == tmp_path / "runs" / "comparison" / "results"


def test_a_wrong_variant_is_an_error_before_data_is_made(prepared):
    ended = agnews("--variant", "no mask:maskng=false", *prepared["root"])
    assert isinstance(ended.exception, SettingsError)
    assert "trainer.maskng" in str(ended.exception)
    assert "The log is" in str(ended.exception)
    assert "prepare" not in prepared


def test_an_unwritable_path_is_an_error_before_data_is_made(prepared, tmp_path):
    (tmp_path / "file").touch()
    ended = agnews("--to", str(tmp_path / "file/to"), *prepared["root"])
    assert isinstance(ended.exception, SettingsError)
    assert f"--to {tmp_path}/file/to: Not a directory" in str(ended.exception)
    assert "prepare" not in prepared


def test_a_remote_root_is_refused(prepared):
    ended = agnews("--set", "pipeline.root=gs://bucket/runs", "--set", "metadata.backend=postgresql", *_DATABASE)
    assert isinstance(ended.exception, SettingsError)
    assert "gs://bucket/runs is remote" in str(ended.exception)


_DATABASE = tuple(
    argument
    for key, value in {"host": "db", "port": "5432", "database": "agnews", "user": "agnews"}.items()
    for argument in ("--set", f"metadata.{key}={value}")
)
