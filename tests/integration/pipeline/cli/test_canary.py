from io import StringIO

from click.testing import CliRunner
from rich.console import Console

from pipeline.cli import cli
from pipeline.cli.canary import print_report
from pipeline.monitoring.canary_report import evaluate
from schema.news_items import Classification, NewsItem
from serving.client.canary_comparison import Answers, Pair


def answers(true_class=None, canary=2):
    def pair(stable, other):
        both = {"stable": (stable, 1), "canary": (other, canary)}
        return Pair(
            NewsItem("Oil [red] rises"),
            true_class,
            {label: Classification(name, 0.75, {name: 0.75}, version) for label, (name, version) in both.items()},
        )

    pairs = [pair("World", "World")] * 8 + [pair("World", "Business")] * 12
    seconds = {"stable": [0.001] * 20, "canary": [0.0025] * 20}
    return Answers(pairs, seconds, {"stable": [], "canary": ["it was refused"]})


def shown(report, examples=10):
    """Returns the printed lines of a report, with blanks collapsed."""
    output = StringIO()
    print_report(Console(file=output, width=140), report, examples)
    return [" ".join(line.split()) for line in output.getvalue().splitlines()]


def test_the_report_says_how_often_and_how_the_answers_differ():
    lines = shown(evaluate(answers()))
    assert lines[0].startswith("same class for 8 of 20 items: 40.00%, 95 % interval 21.88% to 61.34%")
    assert "changed: World → Business 12" in lines
    assert "canary failed on 1 of 20 items; the first: it was refused" in lines
    assert "stable 1 1.00 1.00 1.00 0" in lines
    assert "canary 2 2.50 2.50 2.50 1" in lines
    same = "stable and canary are the same version, so there is nothing to compare"
    assert same not in lines
    assert same in shown(evaluate(answers(canary=1)))


def test_with_classes_it_says_which_is_better():
    lines = shown(evaluate(answers("Business")))
    assert (
        "right alone on 20 items with a class: stable 0, canary 12; McNemar's exact test p = 0.000488: canary is better"
        in lines
    )
    assert "canary 2 0.6000 2.50 2.50 2.50 1" in lines


def test_changed_items_are_shown_as_they_stand():
    lines = shown(evaluate(answers("Business")), examples=3)
    assert "3 of 12 changed items" in lines
    assert lines.count("World 0.75 Business 0.75 Business Oil [red] rises") == 3


def test_a_server_that_is_not_there_is_named(tmp_path):
    (tmp_path / "items.csv").write_text("title\nOil rises\n")
    ended = CliRunner().invoke(
        cli, ["versions", "canary", "--file", "items.csv", "--server", "127.0.0.1:1", "--timeout", "1"]
    )
    assert "127.0.0.1:1" in str(ended.exception)


def test_a_file_without_a_good_row_is_named(tmp_path):
    (tmp_path / "items.csv").write_text("title\n\n \n")
    ended = CliRunner().invoke(cli, ["versions", "canary", "--file", "items.csv"])
    assert "items.csv: no row can be classified" in str(ended.exception)
