"""Builds the wheel agnews-client from serving/client: the package agnews_client, which needs only grpcio and protobuf.

In the wheel, the few modules that the client shares with the pipeline are in agnews_client._shared.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "serving" / "client"
PACKAGE = "agnews_client"
SHARED = ("schema.errors", "schema.model_contract", "schema.news_items", "serving.this_machine")
_IMPORT = re.compile(r"^(\s*(?:from|import) )((?:schema|serving)[\w.]*)", re.MULTILINE)


def main() -> None:
    """Writes the wheel into the directory that the first argument names, dist by default."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    with tempfile.TemporaryDirectory() as sources:
        write_sources(Path(sources))
        # The environment has setuptools, so the build needs no network.
        build = [ROOT / ".venv/bin/uv", "build", "--quiet", "--no-build-isolation", "--python", sys.executable]
        subprocess.run([*build, "--wheel", "--out-dir", out, sources], check=True)


def write_sources(directory: Path) -> None:
    """Writes the source tree of the wheel into an empty directory."""
    package = directory / PACKAGE
    (package / "_shared").mkdir(parents=True)
    (package / "_shared" / "__init__.py").touch()
    for source in (*CLIENT.glob("*.py"), *CLIENT.glob("*.pyi"), *CLIENT.glob("*.proto")):
        (package / source.name).write_text(_rewrite_imports(source))
    for module in SHARED:
        source = ROOT / f"{module.replace('.', '/')}.py"
        (package / "_shared" / source.name).write_text(_rewrite_imports(source))
    (package / "py.typed").touch()
    shutil.copy(CLIENT / "pyproject.toml", directory)
    shutil.copy(ROOT / "docs" / "reference" / "client.md", directory / "README.md")


def _rewrite_imports(source: Path) -> str:
    """Returns the text of a module, with imports as they are in the wheel."""

    def rename(match: re.Match) -> str:
        module = match[2]
        if module in SHARED:
            return f"{match[1]}{PACKAGE}._shared.{module.rpartition('.')[2]}"
        if module != "serving.client" and not module.startswith("serving.client."):
            raise SystemExit(f"{source} imports {module}, which is not in the wheel: add it to SHARED")
        return match[1] + module.replace("serving.client", PACKAGE, 1)

    return _IMPORT.sub(rename, source.read_text())


if __name__ == "__main__":
    main()
