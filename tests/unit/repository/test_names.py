"""A class name means one class, so that a reader need not look at the imports."""

import ast
from collections import defaultdict

from tests.support import ROOT


def test_no_two_classes_have_the_same_name():
    places = defaultdict(list)
    for package in ("pipeline", "components", "schema", "serving", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
