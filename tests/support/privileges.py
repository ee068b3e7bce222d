"""Takes root's access to all files away from this thread, so that tests of missing permissions also work as root."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# From linux/capability.h: the version of the structures, and the bits of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_VERSION = 0x20080522
_ACCESS = 1 << 1 | 1 << 2
_EFFECTIVE = 0


@contextmanager
def only_permitted_files() -> Iterator[None]:
    """Applies the modes of files in the `with` block, also for root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    before = sets[_EFFECTIVE]
    sets[_EFFECTIVE] = before & ~_ACCESS
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[_EFFECTIVE] = before
        assert libc.capset(header, sets) == 0
