import io

from matplotlib.image import imread
from rich.console import Console

from pipeline.cli.data_description import describe_files, draw_description, print_description


def describe(tmp_path, text):
    (tmp_path / "train.csv").write_text(text)
    return describe_files([str(tmp_path / "train.csv")], max_chars=100)


GOOD = '"3","Oil prices up","The oil price rose"\n"3","Oil down","Shares"\n"1","Vote","Today"\n'


def test_rows_classes_lengths_and_words_are_counted(tmp_path):
    found = describe(tmp_path, GOOD + '"9","x","y"\n')
    assert (found.rows, found.bad, found.by_class) == (3, {"unknown_class": 1}, {"Business": 2, "World": 1})
    assert found.lengths == [31, 14, 9]
    assert found.words["Business"].most_common(1) == [("oil", 2)]
    assert "the" not in found.words["Business"]


def test_the_terminal_shows_counts_and_words(tmp_path, capsys):
    found = describe(tmp_path, GOOD)
    print_description(Console(width=120), {"train": found, "test": found})
    shown = capsys.readouterr().out
    assert "train: 3 rows, bad: none; characters: median 14, longest 31" in shown
    assert "66.7%" in shown
    assert "rows of Business with the word" in shown


def test_no_rows_are_no_error(tmp_path):
    found = describe(tmp_path, "")
    print_description(Console(), {"train": found, "test": found})
    draw_description({"train": found, "test": found}, "png", title="nothing")


def test_the_picture_is_drawn(tmp_path):
    found = describe(tmp_path, GOOD)
    picture = imread(io.BytesIO(draw_description({"train": found, "test": found}, "png", title="three rows")))
    assert picture.shape[0] > 500
    assert picture.min() < picture.max()
