"""Finds, loads, serves and unloads the versions of models.

A new version is loaded before the old one is unloaded, a version that fails to load never replaces one that serves,
and a request finishes on the version that it started with. States and rules are those of TensorFlow Serving
(core/aspired_versions_manager.h, core/availability_preserving_policy.h, model_servers/server_core.cc).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server.config import check
from serving.server.errors import (
    RequestError,
    deadline_exceeded_error,
    failed_precondition_error,
    invalid_argument_error,
    not_found_error,
    request_error,
)
from serving.server.model_state import ModelState, State, VersionState, select_versions
from serving.server.options import ManagerOptions
from serving.server.servable import Servable
from serving.versions import explain_no_versions, fingerprint, list_versions

_log = logging.getLogger(__name__)


class Manager:
    """Keeps the configured versions in memory. A background thread loads and unloads them."""

    def __init__(
        self,
        load: Callable[[str, int, str], Servable],
        options: ManagerOptions,
        on_unload: Callable[[str, int, str], None] = lambda model, number, directory: None,
    ):
        """Starts the background thread.

        Args:
            load: loads a version, given the model's name, the version number and the directory.
            options: options for polling, retries and labels.
            on_unload: called with the same arguments when a version is no longer wanted and not in memory. It can be
                called more than once for a version.
        """
        self._load_servable = load
        self._on_unload = on_unload
        self._options = options
        self._models: dict[str, ModelState] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._config = model_server_config_pb2.ModelServerConfig()
        # Protects all state. It is held for lookups and changes of state, never while a model is loaded or run.
        self._changed = threading.Condition()
        self._poll_now = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="versions", daemon=True)
        self._thread.start()

    @property
    def config(self) -> model_server_config_pb2.ModelServerConfig:
        """The configuration in effect."""
        return self._config

    def apply(self, config: model_server_config_pb2.ModelServerConfig, *, expect_versions: bool) -> None:
        """Replaces the whole configuration. The background thread then loads and unloads versions accordingly.

        Args:
            config: the new configuration. Models that it does not name are unloaded.
            expect_versions: whether to reject a configuration with a model that has no version on disk.

        Raises:
            RequestError: the configuration is invalid. The old configuration stays in effect.
        """
        try:
            check(config)
        except ValueError as error:
            raise invalid_argument_error(str(error)) from error
        if config.WhichOneof("config") is None:
            _log.warning("the configuration is empty, and nothing changes")
            return
        models = {model.name: model for model in config.model_config_list.config}
        if expect_versions:
            for model in models.values():
                _expect_version(model)
        with self._changed:
            self._labels = {name: self._validate_labels(model) for name, model in models.items()}
            for name, model in self._models.items():
                model.removed = name not in models
            for name, model_config in models.items():
                model = self._models.setdefault(name, ModelState(model_config))
                model.config = model_config
                model.wanted = None
            self._config = config
            self._changed.notify_all()
        self._poll_now.set()

    def wait_available(self, deadline: float = float("inf")) -> None:
        """Waits until each model has tried all versions of its current configuration and serves at least one of them.

        A version that is still loaded because of an earlier configuration does not count.

        Args:
            deadline: latest time.monotonic() to wait for. Defaults to no limit.

        Raises:
            RequestError: UNKNOWN if no version of a model can be loaded, DEADLINE_EXCEEDED at the deadline,
                UNAVAILABLE if the manager is closed.
        """
        with self._changed:
            while waiting := [model for model in self._models.values() if not model.is_ready]:
                for model in waiting:
                    self._raise_if_gave_up(model)
                if self._closed:
                    raise RequestError(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
                if not self._changed.wait(min(deadline - time.monotonic(), 3600)) and time.monotonic() >= deadline:
                    raise deadline_exceeded_error()

    @contextmanager
    def borrow(self, spec: model_pb2.ModelSpec) -> Iterator[tuple[VersionState, Servable]]:
        """Yields the version that a request names and keeps it in memory until the context exits.

        Raises:
            RequestError: NOT_FOUND if no such version serves, INVALID_ARGUMENT for an unknown label or a missing name.
        """
        with self._changed:
            version = self._find(spec)
            version.users += 1
        try:
            assert version.servable is not None  # The version is available and cannot be unloaded while it has users.
            yield version, version.servable
        finally:
            with self._changed:
                version.users -= 1
                if version.users == 0 and version.state != State.AVAILABLE:
                    self._changed.notify_all()

    def has_model(self, name: str) -> bool:
        """Whether a model of this name is configured or was configured earlier."""
        return name in self._models

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state and error of the version that `spec` names, or of all versions, newest first.

        The result includes versions that were unloaded.

        Raises:
            RequestError: NOT_FOUND if there is no such version, INVALID_ARGUMENT for an unknown label.
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        with self._changed:
            number = self._requested_number(spec)
            model = self._models.get(spec.name)
            versions = model.versions if model else {}
            if number is not None and number not in versions:
                raise not_found_error(f"Could not find version {number} of model {spec.name}")
            if not versions:
                raise not_found_error(f"Could not find any versions of model {spec.name}")
            for version in sorted(versions.values(), key=lambda version: -version.number):
                if number in (None, version.number):
                    status = response.model_version_status.add(version=version.number, state=version.state)
                    # Set for OK as well, because clients read it.
                    status.status.error_code = version.error.code.value[0] if version.error else 0
                    status.status.error_message = version.error.message if version.error else ""
        return response

    def available(self) -> dict[str, list[int]]:
        """Returns the numbers of the versions that serve, by model."""
        with self._changed:
            return {name: sorted(model.available) for name, model in self._models.items() if not model.removed}

    def failures(self) -> dict[str, dict[int, RequestError]]:
        """Returns the errors of the versions that failed to load and are not retried, by model and number."""
        with self._changed:
            found = {
                name: {v.number: v.error for v in model.versions.values() if v.gave_up and v.error}
                for name, model in self._models.items()
            }
        return {name: versions for name, versions in found.items() if versions}

    def close(self, grace_seconds: float) -> bool:
        """Unloads all versions after the requests in flight have finished, or after the grace period.

        Returns:
            Whether everything has finished. Otherwise threads still load or run models.
        """
        deadline = time.monotonic() + grace_seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._poll_now.set()
        self._thread.join(grace_seconds)
        unloading = [self._start_unload(m, v) for m in self._models.values() for v in list(m.available.values())]
        for thread in unloading:
            thread.join(max(deadline - time.monotonic(), 0))
        with self._changed:
            in_use = any(version.servable for model in self._models.values() for version in model.versions.values())
        return not in_use and not self._thread.is_alive()

    # Lookups. The caller holds the lock.

    def _requested_number(self, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise invalid_argument_error(f"Unrecognized servable version label: {spec.version_label}")
            return labels[spec.version_label]
        return spec.version.value if choice == "version" else None

    def _find(self, spec: model_pb2.ModelSpec) -> VersionState:
        if not spec.name:
            raise invalid_argument_error("ModelSpec has no name specified.")
        number = self._requested_number(spec)
        model = self._models.get(spec.name)
        available = model.available if model else {}
        if number is None and available:
            return available[max(available)]
        if number not in available:
            request = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
            raise not_found_error(f"Servable not found for request: {request}")
        return available[number]

    def _validate_labels(self, config: model_server_config_pb2.ModelConfig) -> dict[str, int]:
        model = self._models.get(config.name)
        before = self._labels.get(config.name, {})
        for label, number in config.version_labels.items():
            # A label in use that moves to a version that does not serve yet would fail its requests.
            new = before.get(label, number) == number
            if not (self._options.labels_for_unavailable and new) and not (model and number in model.available):
                raise failed_precondition_error(
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    f"available for inference"
                )
        return dict(config.version_labels)

    @staticmethod
    def _raise_if_gave_up(model: ModelState) -> None:
        versions = [model.versions[number] for number in model.wanted or ()]
        if versions and all(version.gave_up for version in versions):
            reasons = "; ".join(f"version {version.number}: {version.error}" for version in versions)
            raise RequestError(
                grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{model.config.name}: {reasons}}}"
            )

    # Work of the background thread.

    def _work(self) -> None:
        while not self._closed:
            self._poll_now.clear()
            repeat = [self._poll(model) for model in list(self._models.values())]
            if not any(repeat):
                self._poll_now.wait(self._options.poll_seconds or self._seconds_to_next_try())

    def _poll(self, model: ModelState) -> bool:
        try:
            return self._reconcile(model)
        except Exception:  # An unexpected error of one model must not end the thread that serves all models.
            _log.exception("poll failed model=%s", model.config.name)
            return False

    def _seconds_to_next_try(self) -> float | None:
        waiting = [v.next_try for m in self._models.values() for v in m.versions.values() if v.state == State.LOADING]
        return max(min(waiting) - time.monotonic(), 0) if waiting else None

    def _reconcile(self, model: ModelState) -> bool:
        """Loads wanted versions, then unloads the others.

        Returns:
            Whether a load failed, so that the policy may now select another version.
        """
        config = model.config
        try:
            on_disk = {} if model.removed else list_versions(config.base_path)
        except tf.errors.NotFoundError:
            self._log_once(model, explain_no_versions(config.base_path))
            return False
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            self._log_once(model, f"{config.base_path} cannot be read: {request_error(error).message}")
            return False
        wanted = select_versions(on_disk, config.model_version_policy, model.is_failing)
        if not wanted and not model.removed and not model.available:
            self._log_once(model, explain_no_versions(config.base_path))
        elif wanted:
            model.logged_problem = ""
        new = [number for number in wanted if model.needs_load(number)]
        with self._changed:
            for number in new:
                model.versions[number] = VersionState(config.name, number, wanted[number])
        failed = False
        for number in sorted(wanted, reverse=True):
            version = model.versions[number]
            if version.state == State.START or (version.state == State.LOADING and self._is_due(version)):
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
    def _log_once(model: ModelState, problem: str) -> None:
        """Logs a problem of a model unless it was logged last, because the manager polls every second."""
        if problem != model.logged_problem:
            model.logged_problem = problem
            waiting = "" if model.available else "waiting for a version to serve "
            _log.warning("%smodel=%s: %s", waiting, model.config.name, problem)

    def _is_due(self, version: VersionState) -> bool:
        if fingerprint(version.directory) != version.files:
            version.tries = 0
            return True
        return time.monotonic() >= version.next_try

    def _load(self, model: ModelState, version: VersionState) -> bool:
        self._set(version, State.LOADING)
        version.files = fingerprint(version.directory)
        started = time.monotonic()
        try:
            servable = self._load_servable(version.model, version.number, version.directory)
        except Exception as error:  # A broken version must not affect the others.
            version.tries += 1
            version.next_try = time.monotonic() + self._options.retry_seconds
            final = version.tries > self._options.load_retries
            _log.error(
                "load failed model=%s version=%d try=%d final=%s error=%s",
                *(version.model, version.number, version.tries, final, request_error(error).message),
            )
            self._set(version, State.END if final else State.LOADING, request_error(error))
            return False
        with self._changed:
            version.servable = servable
            model.available[version.number] = version
            self._set(version, State.AVAILABLE)
        seconds = time.monotonic() - started
        _log.info("available model=%s version=%d seconds=%.2f", version.model, version.number, seconds)
        return True

    def _drop_unwanted(self, model: ModelState, wanted: dict[int, str]) -> None:
        for version in list(model.versions.values()):
            never_loaded = version.state in (State.START, State.LOADING) or version.gave_up
            if version.number not in wanted and never_loaded:
                self._set(version, State.END, version.error)
                self._on_unload(version.model, version.number, version.directory)
        if not wanted or any(number in wanted for number in model.available):
            for version in [version for number, version in model.available.items() if number not in wanted]:
                self._start_unload(model, version)

    def _start_unload(self, model: ModelState, version: VersionState) -> threading.Thread:
        with self._changed:
            del model.available[version.number]
            self._set(version, State.UNLOADING)
        # A slow request must not keep the manager from polling for new versions.
        thread = threading.Thread(target=self._unload, args=[version], daemon=True)
        thread.start()
        return thread

    def _unload(self, version: VersionState) -> None:
        with self._changed:
            self._changed.wait_for(lambda: version.users == 0)
            servable, version.servable = version.servable, None
        assert servable is not None
        servable.close()
        self._on_unload(version.model, version.number, version.directory)
        self._set(version, State.END)
        self._poll_now.set()  # The version may be wanted again.
        _log.info("unloaded model=%s version=%d", version.model, version.number)

    def _set(self, version: VersionState, state: int, error: RequestError | None = None) -> None:
        with self._changed:
            version.state, version.error = state, error
            self._changed.notify_all()


def _expect_version(config: model_server_config_pb2.ModelConfig) -> None:
    try:
        on_disk = list_versions(config.base_path)
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise not_found_error(f"Could not find base path {config.base_path} for servable {config.name}") from error
    if not select_versions(on_disk, config.model_version_policy, lambda number: False):
        raise not_found_error(
            f"Unable to find a numerical version path for servable {config.name} at: {config.base_path} that its "
            "version policy asks for"
        )
