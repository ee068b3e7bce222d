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


def test_ag_news_is_named_only_where_it_is_the_default_data_set():
    """Users of other data sets read help, pages, dashboards and messages, too."""
    named = {
        str(path.relative_to(ROOT))
        for package in ("pipeline", "components", "schema", "serving")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and b"AG News" in path.read_bytes()
    }
    example_gen = {"csv_reader", "proposal", "sources", "synthetic"}
    assert named == {
        *("schema/model_card.yaml", "schema/data_set.py", "schema/features.py"),
        *(f"components/example_gen/{name}.py" for name in example_gen),
        *("pipeline/settings/model.py", "pipeline/cli/__init__.py", "pipeline/review/evidence.py"),
        # The format of its files, which have no header.
        *("pipeline/cli/classify.py", "serving/item_files.py"),
    }
