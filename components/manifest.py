"""Records which files a trained model consists of, and ties every verdict on it to these files.

The Trainer's Model artifact holds the SHA-256 of each file of its export in the metadata store. A verdict holds the
fingerprint of the files that it judged. Nobody who can write to the files alone can push other files under an earlier
verdict, and neither can a damaged model from the cache be pushed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from schema.errors import RunError
from schema.metadata import decode_text, encode_text
from schema.paths import is_remote
from schema.temporary import temporary_directory
from serving.audit import differences, fingerprint, manifest

if TYPE_CHECKING:
    from tfx.types import Artifact

EXPORT = "Format-Serving"
"""Directory of the SavedModel in a Model artifact, as tfx.utils.path_utils.serving_model_path."""
FILES, AUTHOR = "files", "trained_by"
"""Custom properties of a Model: the SHA-256 of each file as JSON, and who trained it."""
JUDGED = "model_fingerprint"
"""Custom property of a verdict: the fingerprint of the export that it judged."""
_AGAIN = "train it again: agnews run --no-cache"
_NAMED = 3


def files_of(export: str) -> dict[str, str]:
    """Returns the SHA-256 of each file of a SavedModel by path, see `serving.audit.manifest`.

    Args:
        export: path or URI of the directory.
    """
    if not is_remote(export):
        return manifest(Path(export))
    from tfx.utils import io_utils  # Takes ten seconds to import, and local files do not need it.

    with temporary_directory() as copy:
        io_utils.copy_dir(export, copy)
        return manifest(Path(copy))


def record_files(model: "Artifact", author: str) -> None:
    """Stores the files of a new export, and its author, in the properties of its artifact."""
    files = files_of(f"{model.uri}/{EXPORT}")
    model.set_string_custom_property(FILES, encode_text(json.dumps(files)))
    model.set_string_custom_property(AUTHOR, encode_text(author))


def author_of(model: "Artifact") -> str:
    """Returns who trained a model according to the metadata store, empty if unknown."""
    return decode_text(model.get_string_custom_property(AUTHOR))


def find_change(uri: str, recorded: str) -> str | None:
    """Compares the files of a Model with those that its artifact recorded.

    Args:
        uri: URI of the artifact.
        recorded: the artifact's property `FILES`; empty if an earlier version of this package trained the model.

    Returns:
        The first file that differs, is missing or is extra; None if there is none, or no record to compare with.
    """
    if not recorded:
        return None
    changes = differences(json.loads(decode_text(recorded)), files_of(f"{uri}/{EXPORT}"))
    return f"{changes[0]} in {uri}" if changes else None


def require_unchanged(model: "Artifact") -> dict[str, str]:
    """Returns the SHA-256 of each file of a model's export, after comparing them with the recorded ones.

    Raises:
        RunError: the files differ, or none were recorded.
    """
    recorded = model.get_string_custom_property(FILES)
    if not recorded:
        raise RunError(f"the files of model {model.id} were not recorded when it was trained; {_AGAIN}")
    files = json.loads(decode_text(recorded))
    if changes := differences(files, files_of(f"{model.uri}/{EXPORT}")):
        more = ", …" if len(changes) > _NAMED else ""
        raise RunError(
            f"the files of model {model.id} in {model.uri} are not those that were trained "
            f"({', '.join(changes[:_NAMED])}{more}); {_AGAIN}"
        )
    return files


@contextmanager
def judging(model: "Artifact", verdict: "Artifact") -> Iterator[None]:
    """Notes in a verdict which files it judges, and checks that they were the same before and after.

    Args:
        model: the model.
        verdict: the artifact that holds the verdict on it.

    Raises:
        RunError: the files are not those that were trained.
    """
    files = require_unchanged(model)
    yield
    require_unchanged(model)
    verdict.set_string_custom_property(JUDGED, fingerprint(files))


def require_judged(digest: str, verdicts: "Mapping[str, Artifact]") -> None:
    """Checks that verdicts are about the files with a fingerprint.

    Args:
        digest: fingerprint of the export.
        verdicts: artifacts by the name of the component that made them.

    Raises:
        RunError: a verdict is about other files, or does not say which it judged.
    """
    for name, verdict in verdicts.items():
        if (judged := verdict.get_string_custom_property(JUDGED)) != digest:
            raise RunError(
                f"the verdict of {name}, artifact {verdict.id}, is about a model with the fingerprint "
                f"{judged[:12] or 'unknown'} and not {digest[:12]}; judge the model again: agnews run --no-cache"
            )
