"""Tests the rules that all tests keep."""

import ast

import pytest

from tests.support import ROOT, skip_without_tool

_LONGEST_NAME = 72
MODULES = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("*.py")}


def test_names_are_short():
    functions = ((path, node) for path, tree in MODULES.items() for node in ast.walk(tree))
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, node in functions
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > _LONGEST_NAME
    ]
    assert long == []


def test_names_are_unique_in_a_module():
    """Python keeps only the last of two functions with one name."""
    names = {
        path: [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] for path, tree in MODULES.items()
    }
    assert [f"{path} {name}" for path, given in names.items() for name in given if given.count(name) > 1] == []


def test_no_test_imports_from_another_test():
    imported = [
        f"{path}:{node.lineno} {name}"
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or "."] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if getattr(node, "level", 0) or (name.split(".")[0] == "tests" and name.split(".")[:2] != ["tests", "support"])
        if name != "tests"
    ]
    assert imported == []


@pytest.mark.parametrize(("ci", "outcome"), [("true", "Failed"), ("", "Skipped")])
def test_a_missing_tool_fails_a_test_only_in_continuous_integration(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match="no promtool: apt install it") as ended:
        skip_without_tool("no promtool: apt install it")
    assert type(ended.value).__name__ == outcome
