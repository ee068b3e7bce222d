"""Versions of models: found, loaded, served, unloaded.

A new version is loaded before an old one is dropped, one that cannot be loaded never takes the place of one that
serves, and requests in flight finish on the version they began with. States and rules are TensorFlow Serving's
(core/aspired_versions_manager.h, core/availability_preserving_policy.h, model_servers/server_core.cc).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server import source
from serving.server.config import check
from serving.server.servable import Servable
from serving.server.status import (
    RequestError,
    deadline_exceeded,
    failed_precondition,
    from_exception,
    invalid,
    not_found,
)
from serving.server.versions import Model, State, Version, failing, settled, to_be_made

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ManagerOptions:
    """When versions are looked for and tried again.

    Attributes:
        poll_seconds: between looks at the base paths; 0 looks once.
        load_retries: tries after the first that failed.
        retry_seconds: between two tries; changed files are tried at once.
        labels_for_unavailable: a new label may name a version that is not loaded yet.
    """

    poll_seconds: float = 1.0
    load_retries: int = 5
    retry_seconds: float = 60.0
    labels_for_unavailable: bool = False


class Manager:
    """Keeps the versions in memory that the configuration asks for; a thread of its own loads them."""

    def __init__(
        self,
        load: Callable[[str, int, str], Servable],
        options: ManagerOptions,
        left: Callable[[str, int, str], None] = lambda model, number, directory: None,
    ):
        """
        Args:
            load: makes a servable of a model's name, a version's number and its directory.
            options: when versions are looked for.
            left: told the same of a version that is not wanted any more and not in memory, maybe more than once.
        """
        self._load_servable = load
        self._left = left
        self._options = options
        self._models: dict[str, Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._config = model_server_config_pb2.ModelServerConfig()
        # One lock for all of it: held for lookups and changes of state, never while a model is loaded or run.
        self._changed = threading.Condition()
        self._look = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="versions", daemon=True)
        self._thread.start()

    @property
    def config(self) -> model_server_config_pb2.ModelServerConfig:
        """The configuration in effect."""
        return self._config

    def apply(self, config: model_server_config_pb2.ModelServerConfig, *, expect_versions: bool) -> None:
        """Replaces the whole configuration; the versions follow.

        Args:
            config: models that it does not name are unloaded.
            expect_versions: refuse a model that has nothing to serve on disk, and leave all as it is.

        Raises:
            RequestError: the configuration is not one, names a label or a version that cannot be.
        """
        try:
            check(config)
        except ValueError as error:
            raise invalid(str(error)) from error
        models = {model.name: model for model in config.model_config_list.config}
        if expect_versions:
            for model in models.values():
                _expect_version(model)
        with self._changed:
            self._labels = {name: self._checked_labels(model) for name, model in models.items()}
            for name, model in self._models.items():
                model.removed = name not in models
            for name, model_config in models.items():
                model = self._models.setdefault(name, Model(model_config))
                model.config = model_config
                model.wanted = None
            self._config = config
            self._changed.notify_all()
        self._look.set()

    def wait_available(self, deadline: float = float("inf")) -> None:
        """Waits until each configured model serves what its present configuration wants.

        That is, until each wanted version was tried and one of them serves: one that serves on from a configuration
        before this one does not count.

        Raises:
            RequestError: UNKNOWN when a model's versions cannot be loaded, DEADLINE_EXCEEDED at the deadline
                (time.monotonic()), UNAVAILABLE when the server is closed.
        """
        with self._changed:
            while waiting := [model for model in self._models.values() if not settled(model)]:
                for model in waiting:
                    self._raise_if_hopeless(model)
                if self._closed:
                    raise RequestError(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
                if not self._changed.wait(min(deadline - time.monotonic(), 3600)) and time.monotonic() >= deadline:
                    raise deadline_exceeded()

    @contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[tuple[Version, Servable]]:
        """The version that a request asks for, kept in memory as long as the context lasts.

        Raises:
            RequestError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label or no name.
        """
        with self._changed:
            version = self._find(spec)
            version.users += 1
        try:
            assert version.servable is not None  # It is available, and in use.
            yield version, version.servable
        finally:
            with self._changed:
                version.users -= 1
                if version.users == 0 and version.state != State.AVAILABLE:
                    self._changed.notify_all()

    def has_model(self, name: str) -> bool:
        """Whether a model of this name is or was configured."""
        return name in self._models

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """State and error of the version asked for, or of all, newest first; those that ended are among them.

        Raises:
            RequestError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label or no name.
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        with self._changed:
            number = self._asked_number(spec)
            model = self._models.get(spec.name)
            versions = model.versions if model else {}
            if number is not None and number not in versions:
                raise not_found(f"Could not find version {number} of model {spec.name}")
            if not versions:
                raise not_found(f"Could not find any versions of model {spec.name}")
            for version in sorted(versions.values(), key=lambda version: -version.number):
                if number in (None, version.number):
                    status = response.model_version_status.add(version=version.number, state=version.state)
                    # Set even where it is OK: clients look at it.
                    status.status.error_code = version.error.code.value[0] if version.error else 0
                    status.status.error_message = version.error.message if version.error else ""
        return response

    def available(self) -> dict[str, list[int]]:
        """Numbers of the versions that serve, by model."""
        with self._changed:
            return {name: sorted(model.available) for name, model in self._models.items() if not model.removed}

    def failures(self) -> dict[str, dict[int, RequestError]]:
        """Errors of the versions that could not be loaded and are not tried again, by model and number."""
        with self._changed:
            found = {
                name: {v.number: v.error for v in model.versions.values() if v.given_up and v.error}
                for name, model in self._models.items()
            }
        return {name: versions for name, versions in found.items() if versions}

    def close(self, grace_seconds: float) -> None:
        """Unloads everything, when the requests in flight are done or the grace is over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._look.set()
        self._thread.join(grace_seconds)
        unloading = [self._start_unload(m, v) for m in self._models.values() for v in list(m.available.values())]
        for thread in unloading:
            thread.join(grace_seconds)

    # Looked up under the lock.

    def _asked_number(self, spec: model_pb2.ModelSpec) -> int | None:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            return labels[spec.version_label]
        return spec.version.value if choice == "version" else None

    def _find(self, spec: model_pb2.ModelSpec) -> Version:
        number = self._asked_number(spec)
        model = self._models.get(spec.name)
        available = model.available if model else {}
        if number is None and available:
            return available[max(available)]
        if number not in available:
            asked = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
            raise not_found(f"Servable not found for request: {asked}")
        return available[number]

    def _checked_labels(self, config: model_server_config_pb2.ModelConfig) -> dict[str, int]:
        model = self._models.get(config.name)
        before = self._labels.get(config.name, {})
        for label, number in config.version_labels.items():
            # Moved before the new version serves, a label in use would drop its requests.
            new = before.get(label, number) == number
            if not (self._options.labels_for_unavailable and new) and not (model and number in model.available):
                raise failed_precondition(
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    f"available for inference"
                )
        return dict(config.version_labels)

    @staticmethod
    def _raise_if_hopeless(model: Model) -> None:
        versions = [model.versions[number] for number in model.wanted or ()]
        if versions and all(version.given_up for version in versions):
            reasons = "; ".join(f"version {version.number}: {version.error}" for version in versions)
            raise RequestError(
                grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{model.config.name}: {reasons}}}"
            )

    # Done by the thread.

    def _work(self) -> None:
        while not self._closed:
            self._look.clear()
            again = [self._look_at(model) for model in list(self._models.values())]
            if not any(again):
                self._look.wait(self._options.poll_seconds or self._until_next_try())

    def _look_at(self, model: Model) -> bool:
        try:
            return self._reconcile(model)
        except Exception:  # What is strange about one model must not end the thread that all of them need.
            _log.exception("versions not looked at model=%s", model.config.name)
            return False

    def _until_next_try(self) -> float | None:
        waiting = [v.next_try for m in self._models.values() for v in m.versions.values() if v.state == State.LOADING]
        return max(min(waiting) - time.monotonic(), 0) if waiting else None

    def _reconcile(self, model: Model) -> bool:
        """Loads what is wanted, then drops what is not; True when a failure may make another version wanted."""
        config = model.config
        try:
            on_disk = {} if model.removed else source.versions_on_disk(config.base_path)
        except tf.errors.NotFoundError:
            self._say_once(model, source.nothing_to_serve(config.base_path))
            return False
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            self._say_once(model, f"{config.base_path} cannot be read: {from_exception(error).message}")
            return False
        wanted = source.aspired(on_disk, config.model_version_policy, lambda number: failing(model, number))
        if not wanted and not model.removed and not model.available:
            self._say_once(model, source.nothing_to_serve(config.base_path))
        elif wanted:
            model.problem = ""
        new = [number for number in wanted if to_be_made(model, number)]
        with self._changed:
            for number in new:
                model.versions[number] = Version(config.name, number, wanted[number])
        failed = False
        for number in sorted(wanted, reverse=True):
            version = model.versions[number]
            if version.state == State.START or (version.state == State.LOADING and self._due(version)):
                failed |= not self._load(model, version)
            if self._closed:
                return False
        self._drop_unwanted(model, wanted)
        with self._changed:
            if not failed and model.config is config:
                model.wanted = wanted
                self._changed.notify_all()
        return failed

    @staticmethod
    def _say_once(model: Model, problem: str) -> None:
        """It is looked at each second, maybe for hours."""
        if problem != model.problem:
            model.problem = problem
            waiting = "" if model.available else "waiting for a version to serve "
            _log.warning("%smodel=%s: %s", waiting, model.config.name, problem)

    def _due(self, version: Version) -> bool:
        if source.fingerprint(version.directory) != version.files:
            version.tries = 0
            return True
        return time.monotonic() >= version.next_try

    def _load(self, model: Model, version: Version) -> bool:
        self._set(version, State.LOADING)
        version.files = source.fingerprint(version.directory)
        started = time.monotonic()
        try:
            servable = self._load_servable(version.model, version.number, version.directory)
        except Exception as error:  # Whatever a broken version raises, the others are served.
            version.tries += 1
            version.next_try = time.monotonic() + self._options.retry_seconds
            final = version.tries > self._options.load_retries
            _log.error(
                "load failed model=%s version=%d try=%d final=%s error=%s",
                *(version.model, version.number, version.tries, final, from_exception(error).message),
            )
            self._set(version, State.END if final else State.LOADING, from_exception(error))
            return False
        with self._changed:
            version.servable = servable
            model.available[version.number] = version
            self._set(version, State.AVAILABLE)
        seconds = time.monotonic() - started
        _log.info("available model=%s version=%d seconds=%.2f", version.model, version.number, seconds)
        return True

    def _drop_unwanted(self, model: Model, wanted: dict[int, str]) -> None:
        for version in list(model.versions.values()):
            never_loaded = version.state in (State.START, State.LOADING) or version.given_up
            if version.number not in wanted and never_loaded:
                self._set(version, State.END, version.error)
                self._left(version.model, version.number, version.directory)
        if not wanted or any(number in wanted for number in model.available):
            for version in [version for number, version in model.available.items() if number not in wanted]:
                self._start_unload(model, version)

    def _start_unload(self, model: Model, version: Version) -> threading.Thread:
        with self._changed:
            del model.available[version.number]
            self._set(version, State.UNLOADING)
        # A request that takes its time must not keep the next version from being found.
        thread = threading.Thread(target=self._unload, args=[version], daemon=True)
        thread.start()
        return thread

    def _unload(self, version: Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: version.users == 0)
            servable, version.servable = version.servable, None
        assert servable is not None
        servable.close()
        self._left(version.model, version.number, version.directory)
        self._set(version, State.END)
        self._look.set()  # It may have become wanted again.
        _log.info("unloaded model=%s version=%d", version.model, version.number)

    def _set(self, version: Version, state: int, error: RequestError | None = None) -> None:
        with self._changed:
            version.state, version.error = state, error
            self._changed.notify_all()


def _expect_version(config: model_server_config_pb2.ModelConfig) -> None:
    try:
        on_disk = source.versions_on_disk(config.base_path)
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise not_found(f"Could not find base path {config.base_path} for servable {config.name}") from error
    if not source.aspired(on_disk, config.model_version_policy, lambda number: False):
        raise not_found(
            f"Unable to find a numerical version path for servable {config.name} at: {config.base_path} that its "
            "version policy asks for"
        )
