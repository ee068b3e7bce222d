"""Makes files that several tests read once for all workers of a test run."""

import os
import shutil

import filelock


def make_once(tmp_path_factory, name, make):
    """Returns a directory that no test may change.

    Args:
        tmp_path_factory: pytest's fixture.
        name: name of the directory, unique in a test run.
        make: function that fills the empty directory; called by the first worker that needs it. Others wait for it.
    """
    base = tmp_path_factory.getbasetemp()
    # Each worker of pytest-xdist has a directory of its own below that of the test run.
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    finished = directory.with_suffix(".finished")
    with filelock.FileLock(directory.with_suffix(".lock")):
        if not finished.exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make(directory)
            finished.touch()
    return directory
