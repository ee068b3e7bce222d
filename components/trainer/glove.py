"""Downloads GloVe's public word vectors when they are first needed."""

import os
from pathlib import Path

from components.download import Offline, Progress, PublicFiles, download
from components.trainer.shapes import GLOVE_WIDTHS
from schema.errors import SettingsError
from schema.paths import expand_home

# The vectors of 6 billion words in Gensim's format, and the checksums of its list,
# https://raw.githubusercontent.com/piskvorky/gensim-data/master/list.json.
_URL = "https://github.com/piskvorky/gensim-data/releases/download/"
_CHECKSUMS = (
    "c289bc5d7f2f02c6dc9f2f9b67641813",
    "40ec481866001177b8cd4cb0df92924f",
    "59652db361b7a87ee73834a6c391dfc1",
    "29e9329ac2241937d55b852e8284e89b",
)
_LICENCE = (
    "GloVe (J. Pennington, R. Socher and C. D. Manning, 2014) is in the public domain (Open Data Commons PDDL): "
    "https://nlp.stanford.edu/projects/glove/"
)
FILES = {
    width: PublicFiles(f"{_URL}glove-wiki-gigaword-{width}/", {f"glove-wiki-gigaword-{width}.gz": checksum}, _LICENCE)
    for width, checksum in zip(GLOVE_WIDTHS, _CHECKSUMS, strict=True)
}
"""The file of each width of the vectors; the widest has 394 MB."""


def fetch(width: int, progress: Progress = lambda *_: None) -> Path:
    """Returns the file of the vectors of a width; downloads it into the user's cache if it is not there.

    Raises:
        SettingsError: the host could not be reached, or the cache cannot be written.
        DataError: the download failed.
    """
    files = FILES[width]
    directory = Path(os.environ.get("XDG_CACHE_HOME") or expand_home("~/.cache")) / "agnews"
    try:
        download(files, directory, progress)
    except Offline as error:
        raise SettingsError(
            f"trainer.word_vectors glove: {error}; copy the file into {directory} from a machine with a network, or "
            "set it to learned"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"trainer.word_vectors glove: {directory}: {error.strerror or error}; set XDG_CACHE_HOME to a directory "
            "that can be written"
        ) from error
    [name] = files.md5
    return directory / name
