"""A fingerprint of user code, so that TFX's cache notices when it changes.

TFX's cache key holds the name of `preprocessing_fn` or `run_fn`, not what the function does.
"""

import hashlib
from pathlib import Path

import components
import schema
from schema.features import CLASS_NAMES, LENGTH_BUCKET_BOUNDS, LENGTH_BUCKETS

_CODE = (".py", ".j2", ".css", ".json")
# What a stage's outputs depend on outside its own folder.
_SHARED = {"example_gen": ("csv_records.py", "news_items.py", "text_files.py")}


def code_version(stage: str) -> str:
    """SHA-256, first 16 hexadecimal digits, of the module or folder `components/<stage>` and of the schema's names.

    In a folder, templates and other files that its modules read count as well, and so do the modules of `schema` that
    read files for it.
    """
    path = Path(components.__file__).parent / stage
    files = (
        sorted(file for file in path.rglob("*") if file.suffix in _CODE) if path.is_dir() else [path.with_suffix(".py")]
    )
    digest = hashlib.sha256(repr((CLASS_NAMES, LENGTH_BUCKETS, LENGTH_BUCKET_BOUNDS)).encode())
    code = {file.relative_to(path.parent).as_posix(): file for file in files}
    code |= {f"schema/{name}": Path(schema.__file__).with_name(name) for name in _SHARED.get(stage, ())}
    for name, file in code.items():
        digest.update(name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
