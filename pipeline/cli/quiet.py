"""Hides the output of TensorFlow and Beam."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

from pipeline.runners.logs import logged_to


def quiet() -> AbstractContextManager[TextIO]:
    """Hides library output in the `with` block; a log level would hide only part of TensorFlow's import messages."""
    return logged_to(Path(os.devnull), verbose=False)
