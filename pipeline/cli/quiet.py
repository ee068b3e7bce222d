"""Keeps what TensorFlow and Beam say of themselves off the terminal."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

from pipeline.runners.logs import logged_to


def quiet() -> AbstractContextManager[TextIO]:
    """Around what imports or uses them: its log level stops only a part of what TensorFlow writes when imported."""
    return logged_to(Path(os.devnull), verbose=False)
