"""The section about the environment in which the card was written: versions, hardware, and the revision of the code."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import tensorflow as tf

from components.model_card.evidence import NotAvailable

_PACKAGES = ("agnews-pipeline", "tfx", "tensorflow", "keras", "tensorflow-transform", "ml-metadata", "numpy")
_GIT_SECONDS = 30


@dataclass(frozen=True)
class Revision:
    """The code's commit, and whether the working tree has changed or untracked files."""

    commit: str
    dirty: bool


@dataclass(frozen=True)
class Environment:
    """The environment that wrote the card; the training may have run earlier or elsewhere.

    Attributes:
        versions: versions of Python and of packages, by name.
        system: operating system and architecture.
        processor: model of the processor.
        cores: number of cores that the process may use.
        memory_gib: memory of the machine, GiB.
        gpus: names of the GPUs.
        revision: revision of the code.
    """

    versions: dict[str, str]
    system: str
    processor: str
    cores: int
    memory_gib: float
    gpus: tuple[str, ...]
    revision: Revision | NotAvailable


def describe_environment() -> Environment:
    """Collects the facts from the interpreter, the system and git."""
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return Environment(
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=psutil.virtual_memory().total / 2**30,
        gpus=tuple(gpu.get("device_name", "unknown GPU") for gpu in gpus),
        revision=code_revision(Path(__file__).parent),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def code_revision(directory: Path) -> Revision | NotAvailable:
    """Returns the git commit that the directory's files belong to.

    An installed copy may be inside the working tree of another project: files that git does not track have no revision.
    """
    try:
        tracked = _git(directory, "ls-files", "--", ".")
        if not tracked:
            return NotAvailable("the code is not in a git working tree of its own")
        return Revision(_git(directory, "rev-parse", "HEAD"), bool(_git(directory, "status", "--porcelain")))
    except FileNotFoundError:
        return NotAvailable("git is not installed")
    except subprocess.CalledProcessError as error:
        return NotAvailable(f"git knows no revision: {error.stderr.strip()}")


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_GIT_SECONDS)
    return done.stdout.strip()
