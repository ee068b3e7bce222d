"""State of the configured models and of each of their versions. Only the manager changes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from serving.server.errors import RequestError
from serving.server.servable import Servable
from serving.versions import fingerprint

State = get_model_status_pb2.ModelVersionStatus
Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


@dataclass(eq=False)
class VersionState:
    """A version of a model, from START to END.

    Attributes:
        model: name of the model.
        number: version number.
        directory: local path or URI of the SavedModel.
        state: a value of State.
        error: result of the last failed load, or None.
        servable: the loaded SavedModel, or None.
        users: number of requests that are running on it.
        tries: number of failed loads of these files.
        next_try: time.monotonic() of the next load after a failure.
        files: fingerprint of the files at the last load.
    """

    model: str
    number: int
    directory: str
    state: int = State.START
    error: RequestError | None = None
    servable: Servable | None = None
    users: int = 0
    tries: int = 0
    next_try: float = 0.0
    files: tuple = ()

    @property
    def gave_up(self) -> bool:
        return self.state == State.END and self.error is not None


@dataclass(eq=False)
class ModelState:
    """A configured model.

    Attributes:
        config: its current configuration.
        versions: all versions that were ever wanted, by number.
        available: the versions that serve requests, by number.
        wanted: directories of the versions that the configuration asks for, by number. None until a load of each
            has been tried.
        removed: whether the current configuration no longer names the model.
        logged_problem: last logged reason why it serves no version, or "".
    """

    config: model_server_config_pb2.ModelConfig
    versions: dict[int, VersionState] = field(default_factory=dict)
    available: dict[int, VersionState] = field(default_factory=dict)
    wanted: dict[int, str] | None = None
    removed: bool = False
    logged_problem: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether all wanted versions were tried and at least one of them serves, or the model was removed."""
        return self.removed or (self.wanted is not None and not self.available.keys().isdisjoint(self.wanted))

    def is_failing(self, number: int) -> bool:
        """Whether a version failed to load and its files have not changed since."""
        version = self.versions.get(number)
        if version is None or version.error is None:
            return False
        return fingerprint(version.directory) == version.files

    def needs_load(self, number: int) -> bool:
        """Whether a wanted version starts from the beginning: it is new, was unloaded, or its files were replaced."""
        version = self.versions.get(number)
        return not version or (version.state == State.END and not self.is_failing(number))


def select_versions(versions: Mapping[int, str], policy: Any, is_failing: Callable[[int], bool]) -> dict[int, str]:
    """Returns the versions that a version policy asks for, by number.

    A version that fails to load is still tried, but does not count towards `latest`. So a server that starts while
    the newest version is broken serves the newest version that loads.

    Args:
        versions: directories of the versions on disk, by number.
        policy: a Policy: latest (the default, with one version), all or specific.
        is_failing: whether the files of a version could not be loaded.
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(versions)
    if choice == "specific":
        return {version: versions[version] for version in policy.specific.versions if version in versions}
    wanted: dict[int, str] = {}
    missing = max(policy.latest.num_versions, 1)
    for version in sorted(versions, reverse=True):
        if missing == 0:
            break
        wanted[version] = versions[version]
        missing -= not is_failing(version)
    return wanted
