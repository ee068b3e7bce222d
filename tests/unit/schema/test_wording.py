import ast
import itertools
import re
from collections.abc import Iterator

import numpy as np
import pytest

from schema.wording import amount
from tests.support import ROOT

_NOUN = re.compile(r" (?:[a-z]+ )?(?!is\b|was\b|has\b)[a-z]{3,}s\b(?!/)")
_COUNT_IN_TEMPLATE = re.compile(r"\{\{[^{}]*(?:\| length|\{:,\})[^{}]*\}\}" + _NOUN.pattern)
# A length, or a number with separators of thousands that is not a constant.
_COUNT = re.compile(r"\{(len\(.*\)|(?![A-Z_]+:).*:,)\}")
_NEVER_ONE = {"classes", "data_set.class_names", "names", "lineage.ingested", "request.SerializeToString()"}
# These messages repeat TensorFlow Serving's, or report a fault of a server.
_NOT_OURS = ("serving/server/", "serving/client/", "serving/prediction_logs.py")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (amount(1, "row"), "1 row"),
        (amount(0, "row"), "0 rows"),
        (amount(1200, "bad row"), "1,200 bad rows"),
        (amount(np.int64(1_200_000), "row"), "1,200,000 rows"),
        (amount(1, "entry", "entries"), "1 entry"),
        (amount(2, "entry", "entries"), "2 entries"),
        (amount(1.0, "hour"), "1 hour"),
        (amount(1.5, "hour"), "1.5 hours"),
    ],
)
def test_an_amount_has_the_number_of_its_count(written, expected):
    assert written == expected


def test_no_message_has_a_fixed_plural_after_a_count():
    """Otherwise the message says "1 rows"; schema.wording.amount writes both forms."""
    found = [
        f"{name}: {message}"
        for package in ("pipeline", "components", "schema", "serving")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not (name := str(path.relative_to(ROOT))).startswith(_NOT_OURS)
        for message in _counts_before_plurals(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_template_has_a_fixed_plural_after_a_count():
    found = [
        f"{path.name}: {match[0]}"
        for package in ("pipeline", "components", "serving")
        for path in sorted((ROOT / package).rglob("templates/*.*"))
        for match in _COUNT_IN_TEMPLATE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def _counts_before_plurals(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for value, text in itertools.pairwise(node.values):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    written = ast.unparse(value).strip("f'\"")
                    is_count = _COUNT.fullmatch(written) and written[5:-2] not in _NEVER_ONE
                    if is_count and _NOUN.match(str(text.value)):
                        yield f"{written}{text.value}"
