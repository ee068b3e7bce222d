import pytest

from pipeline.cli.printable import printable


@pytest.mark.parametrize("sign", ["\x1b", "\n", "\r", "\x7f", "\x9b", "\u202e", "\udcff"])
def test_what_could_steer_a_terminal_or_is_no_text_is_replaced(sign):
    assert printable(f"a{sign}[2Jb") == "a\N{REPLACEMENT CHARACTER}[2Jb"
    assert printable(f"a{sign}b", " ") == "a b"


def test_what_can_be_read_stays():
    assert printable("Öl, 7 %: [gut] → 油") == "Öl, 7 %: [gut] → 油"
