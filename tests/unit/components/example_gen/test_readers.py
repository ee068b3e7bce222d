import pytest

from components.example_gen.readers import read_rows
from components.example_gen.row_format import RowFormat
from components.example_gen.rows import RawRow, RejectedRow
from schema.errors import DataError


@pytest.fixture
def read(tmp_path):
    def read(content, **columns):
        path = tmp_path / "train.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_rows(str(path), RowFormat(**columns)))

    return read


def test_text_and_label_are_read_with_a_byte_order_mark_and_blank_lines(read):
    rows = read(b'\xef\xbb\xbf{"text": "Goal", "label": 1}\n \n\n{"label": "World", "text": "Vote"}\n')
    assert [(row.number, row.label, row.description) for row in rows] == [(1, 1, "Goal"), (4, 0, "Vote")]


def test_own_columns_and_classes(read):
    columns = {"label_column": "分类", "text_columns": ("标题", "正文"), "class_names": ("体育", "财经")}
    [row] = read('{"标题": "进球", "正文": "比赛", "分类": "财经"}', **columns)
    assert (row.label, row.title, row.description) == (1, "进球", "比赛")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no json", "invalid JSON"),
        ("[1]", "expected a JSON object"),
        ("[]", "expected a JSON object"),
        ('{"text": "a", "text": "b", "label": 1}', "text more than once"),
        ('{"text": 5, "label": 1}', "text is not a text"),
    ],
)
def test_a_bad_line_is_rejected_alone(read, line, reason):
    good, bad = read(f'{{"text": "Goal", "label": 1}}\n{line}\n')
    assert isinstance(good, RawRow)
    assert isinstance(bad, RejectedRow)
    assert bad.number == 2
    assert reason in bad.detail


def test_a_file_without_the_columns_names_those_that_are_there(read):
    with pytest.raises(DataError, match=r"train\.jsonl has the columns headline, label; text is missing"):
        read('{"headline": "Goal", "label": 1}')
