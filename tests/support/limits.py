"""Limits what this process may do with files, so that tests of permissions and full disks need no other user."""

import ctypes
import resource
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


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """Lets no file in the `with` block grow over a number of bytes, as on a disk that has no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
