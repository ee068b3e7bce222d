"""A fingerprint of user code, so that TFX's cache notices when it changes.

TFX's cache key holds the name of `preprocessing_fn` or `run_fn`, not what the function does.
"""

import hashlib
from pathlib import Path

import components
from schema.features import CLASS_NAMES, LENGTH_BUCKET_BOUNDS, LENGTH_BUCKETS

_CODE = (".py", ".j2", ".css", ".json")


def code_version(stage: str) -> str:
    """SHA-256, first 16 hexadecimal digits, of the module or folder `components/<stage>` and of the schema's names.

    In a folder, templates and other files that its modules read count as well.
    """
    path = Path(components.__file__).parent / stage
    files = (
        sorted(file for file in path.rglob("*") if file.suffix in _CODE) if path.is_dir() else [path.with_suffix(".py")]
    )
    digest = hashlib.sha256(repr((CLASS_NAMES, LENGTH_BUCKETS, LENGTH_BUCKET_BOUNDS)).encode())
    for file in files:
        digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
