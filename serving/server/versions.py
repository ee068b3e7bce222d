"""What is known of a model and of each of its versions; the manager alone changes it."""

from dataclasses import dataclass, field

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server import source
from serving.server.servable import Servable
from serving.server.status import RequestError

State = get_model_status_pb2.ModelVersionStatus


@dataclass(eq=False)
class Version:
    """One version of a model, from START to END. `users` counts the requests that run on it."""

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
    def given_up(self) -> bool:
        return self.state == State.END and self.error is not None


@dataclass(eq=False)
class Model:
    """A configured model.

    `wanted` is None until each version that the present configuration asks for was tried. `problem` is what was last
    said of why none is served.
    """

    config: model_server_config_pb2.ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)
    available: dict[int, Version] = field(default_factory=dict)
    wanted: dict[int, str] | None = None
    removed: bool = False
    problem: str = ""


def settled(model: Model) -> bool:
    """Whether the present configuration's versions were tried, and one of them serves; a removed model has none."""
    return model.removed or (model.wanted is not None and not model.available.keys().isdisjoint(model.wanted))


def failing(model: Model, number: int) -> bool:
    """Whether a version could not be loaded, and its files are still those."""
    version = model.versions.get(number)
    if version is None or version.error is None:
        return False
    return source.fingerprint(version.directory) == version.files


def to_be_made(model: Model, number: int) -> bool:
    """Whether a wanted version begins anew: it is not known, was unloaded, or failed with other files."""
    version = model.versions.get(number)
    return not version or (version.state == State.END and not failing(model, number))
