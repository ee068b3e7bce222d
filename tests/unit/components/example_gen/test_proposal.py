import csv

import pytest

from components.example_gen.proposal import file_pattern, propose
from schema.errors import DataError
from tests.support.own_data import write_json_lines, write_tickets


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_german_tickets_with_one_text_column(tmp_path, separator):
    write_tickets(tmp_path / "tickets.csv", separator=separator)
    proposal = propose([tmp_path / "tickets.csv"])
    assert (proposal.row_format.label_column, proposal.row_format.text_columns) == ("kategorie", ("text",))
    assert proposal.data_set.class_names == ("Kündigung", "Rechnung", "Störung")
    assert len(proposal.data_set.length_bounds) == 2
    assert not proposal.characters


def test_json_lines_of_two_classes_in_several_files(tmp_path):
    files = [tmp_path / f"train-0000{part}-of-00002.jsonl" for part in range(2)]
    for seed, file in enumerate(files):
        write_json_lines(file, {"ham": "lunch meeting report", "spam": "win cash prize"}, 60, seed)
    proposal = propose(files)
    assert (proposal.data_set.class_names, proposal.rows) == (("ham", "spam"), 120)
    assert file_pattern(files, str(tmp_path)) == "train-0000*-of-00002.jsonl"


def test_numbers_are_classes_from_the_first_one(tmp_path):
    write_json_lines(tmp_path / "a.jsonl", {str(number): f"word{number} other" for number in range(1, 15)}, 140)
    proposal = propose([tmp_path / "a.jsonl"])
    assert proposal.data_set.class_names == tuple(map(str, range(1, 15)))
    assert proposal.row_format.first_class == 1


CHINESE = {"体育": "足球 比赛 冠军", "财经": "股票 市场 银行"}
ARABIC = {"رياضة": "مباراة فوز ملعب", "مال": "بنك سوق سهم"}


@pytest.mark.parametrize(
    ("words", "separator", "characters"), [(CHINESE, "", True), (ARABIC, " ", False)], ids=["Chinese", "Arabic"]
)
def test_characters_are_proposed_for_scripts_without_blanks(tmp_path, words, separator, characters):
    write_json_lines(tmp_path / "a.jsonl", words, 60, separator=separator)
    proposal = propose([tmp_path / "a.jsonl"])
    assert set(proposal.data_set.class_names) == set(words)
    assert proposal.row_format.text_columns == ("text",)
    assert proposal.characters == characters


def test_several_text_columns_keep_their_order_and_ids_are_left_out(tmp_path):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uid", "Subject", "source", "Body", "Topic"])
        for row in range(40):
            writer.writerow([f"x{row}", f"subject number {row}", "web", f"a longer body {row}", ("a", "b")[row % 2]])
    found = propose([tmp_path / "a.csv"])
    assert (found.row_format.text_columns, found.data_set.id_column) == (("subject", "body"), "uid")
    chosen = propose([tmp_path / "a.csv"], "topic", ["Body"], ids="Subject")
    assert (chosen.row_format.text_columns, chosen.data_set.id_column) == (("body",), "subject")


def test_a_column_in_which_values_are_repeated_or_missing_has_no_ids(tmp_path):
    for ids in (["1", "2", "3", "1"], ["1", "", "3", "4"]):
        rows = "".join(f"{number},some text {index},{'ab'[index % 2]}\n" for index, number in enumerate(ids))
        (tmp_path / "a.csv").write_text(f"id,text,label\n{rows}")
        assert propose([tmp_path / "a.csv"], label="label").data_set.id_column == ""


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("1,Vote,Today\n2,Goal,Two\n", {}, r"line 1: expected column names, found '1,Vote,Today'"),
        ("text,label\n", {}, "has no rows"),
        ("text,label\none text,a\nanother text,b\n", {}, "none of the columns text, label has 2 to 1000 classes"),
        ("text,label\none text,a\nother text,b\n" * 5, {"label": "topic"}, "has no column topic; it has text, label"),
    ],
)
def test_files_that_cannot_be_described(tmp_path, content, options, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        propose([tmp_path / "a.csv"], **options)


def test_a_pattern_must_not_match_other_files(tmp_path):
    files = [tmp_path / name for name in ("part-1.csv", "part-2.csv", "part-3.csv")]
    for file in files:
        file.touch()
    with pytest.raises(DataError, match=r"part-3\.csv also matches part-\*\.csv"):
        file_pattern(files[:2], str(tmp_path))
    assert file_pattern(files, str(tmp_path)) == "part-*.csv"
