"""Estimates whether a further version fits into memory."""

from pathlib import Path

import grpc
import psutil

from serving.server.errors import RequestError
from serving.versions import fingerprint

# TensorFlow Serving's estimate of the memory of a model (servables/tensorflow/util.cc, kResourceEstimateRAMMultiplier).
_BYTES_PER_BYTE_ON_DISK = 1.2
_CGROUP = Path("/sys/fs/cgroup")


def require_memory(directory: str) -> None:
    """Checks that there is memory for a version next to the versions that are loaded.

    Args:
        directory: local path or URI of the SavedModel.

    Raises:
        RequestError: RESOURCE_EXHAUSTED if there is not.
    """
    size = sum(size for _, size, _ in fingerprint(directory))
    needed, free = int(size * _BYTES_PER_BYTE_ON_DISK), free_bytes()
    if needed > free:
        raise RequestError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"{directory} needs about {needed / 1e6:,.0f} MB next to the loaded versions, and {free / 1e6:,.0f} MB are "
            "free: give the server more memory, or serve fewer versions",
        )


def free_bytes() -> int:
    """Returns the memory that this process can still use, limited by its control group."""
    free = psutil.virtual_memory().available
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        # Pages of files can be dropped.
        cache = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())["file"]
    except (OSError, KeyError, ValueError):
        return free
    return free if limit == "max" else min(free, int(limit) - int(used) + int(cache))
