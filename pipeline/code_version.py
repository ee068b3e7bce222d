"""Fingerprints of the project's source, so that TFX's cache notices an edit.

TFX's cache key holds the names of executors and user functions, not what they do. A fingerprint covers a module and
everything that it imports from the project, directly or through other modules.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode

PARAMETER = "code_version"
"""Name of the parameter that holds the fingerprint of a component."""

STAGES = {
    "example_gen": ("components.example_gen.component",),
    "transform": ("components.transform.preprocessing",),
    "trainer": ("components.trainer.run_fn",),
    "evaluator": ("components.evaluator.component", "components.evaluator.config", "components.evaluator.report"),
    "model_card": ("components.model_card.component",),
}
"""Modules of the stages whose fingerprints a model card records."""

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("components", "pipeline", "schema", "serving")
# Parameters of TFX's components that name a function of ours.
_USER_FUNCTIONS = ("preprocessing_fn", "run_fn", "trainer_fn", "tuner_fn")
_PREFIXES = tuple(f"{package}." for package in _PACKAGES)


def code_version(stage: str) -> str:
    """Returns the fingerprint of a stage of `STAGES`."""
    return source_fingerprint(STAGES[stage])


def add_code_version(node: BaseNode) -> None:
    """Adds the fingerprint of the project's code that a component runs to the component's parameters.

    A component that runs only TFX's code stays as it is, and so does a resolver, which is never taken from the cache.
    """
    if isinstance(node, BaseComponent) and (modules := entry_modules(node)):
        node.spec.exec_properties[PARAMETER] = source_fingerprint(modules)


def entry_modules(component: BaseComponent) -> tuple[str, ...]:
    """Returns the project's modules that hold a component's class, executor and user functions."""
    named = {type(component).__module__, component.executor_spec.executor_class.__module__}
    for parameter in _USER_FUNCTIONS:
        if function := component.exec_properties.get(parameter):
            named.add(str(function).rpartition(".")[0])
    return tuple(sorted(name for name in named if name.partition(".")[0] in _PACKAGES))


def source_fingerprint(modules: Iterable[str], root: Path = _ROOT) -> str:
    """Computes a fingerprint of modules and of all project code that they import.

    Args:
        modules: dotted names.
        root: directory that holds the project's packages.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    for file in sorted(source_files(modules, root)):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def source_files(modules: Iterable[str], root: Path = _ROOT) -> set[Path]:
    """Finds the files of modules, of all project modules that they import, and of these modules' packages.

    A string that is the name of a module counts as an import: a server is started with `-m serving.server`. Templates
    and other data files count with the package in whose folder they are.

    Args:
        modules: dotted names.
        root: directory that holds the project's packages.
    """
    waiting = list(modules)
    seen, files = set[str](), set[Path]()
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] not in _PACKAGES or not name.replace(".", "").isidentifier():
            continue
        seen.add(name)
        waiting.append(name.rpartition(".")[0])
        path = root.joinpath(*name.split("."))
        if path.is_dir():
            sources = [path / "__init__.py", path / "__main__.py"]
            # A top-level package holds files that only other programs read, such as dashboards.
            files.update(_data_files(path) if "." in name else ())
        else:
            sources = [path.with_suffix(".py")]
        for source in filter(Path.is_file, sources):
            files.add(source)
            waiting += _imports(source.read_text(encoding="utf-8"), name)
    return files


@lru_cache(maxsize=1024)
def _imports(source: str, module: str) -> frozenset[str]:
    """Returns the dotted names that a module may import; not all of them are modules."""
    return frozenset(_names(ast.parse(source), module))


def _names(tree: ast.AST, module: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: the project imports by absolute names"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_PREFIXES):
            yield node.value
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield from _names(node, module)


def _data_files(package: Path) -> Iterator[Path]:
    """Yields the files of a package that are no Python source, without those of packages below it."""
    for path in package.iterdir():
        if path.is_file() and path.suffix not in (".py", ".typed"):
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
