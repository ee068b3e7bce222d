"""Compiles the pipeline for Kubeflow Pipelines, and submits it as one run or on a schedule.

kfp is in an environment of its own: `kfp_script` runs there, and everything that can be checked is checked here.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeline.settings import KubeflowSettings, Settings
from schema.errors import AgNewsError, RunError, SettingsError, suggestion
from schema.files import read_small_file, replace_file
from schema.temporary import temporary_directory
from schema.wording import amount
from serving.audit import identity
from serving.this_machine import proxy_mounts

_PROJECT = Path(__file__).parents[3]
_SCRIPT = Path(__file__).with_name("kfp_script.py")
_CRON_FIELDS = 6
_ANSWERS_WITHIN = 10.0  # seconds
_AUTHOR = "author"
# What a run may change without compiling again, by the name of the parameter.
_PARAMETERS = {
    "data_path": ("data.path", "directory or URI of the data"),
    "span": ("data.span", "span to ingest, as a number or YYYY-MM-DD; empty: the latest"),
    "epochs": ("trainer.epochs", "maximum number of training epochs; empty: the network's own"),
    "destination": ("pusher.destination", "base directory of the pushed versions and the audit log"),
}


class KubeflowError(AgNewsError):
    """The API of Kubeflow Pipelines did not respond, or refused the request."""

    exit_code = 6


@dataclass(frozen=True)
class Parameter:
    """A parameter of a run, with which each command of the run begins a setting.

    Attributes:
        name: name in `--param` and on Kubeflow's page.
        option: text before the value on the command line.
        description: description for people.
        default: value as text; None if each run must name one.
    """

    name: str
    option: str
    description: str
    default: str | None


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        name: name of the pipeline.
        version: version of this project, and eight digits of the content's SHA-256, so that it changes with the
            content.
        text: YAML of the pipeline specification and the platform document.
        parameters: parameters of a run.
    """

    name: str
    version: str
    text: str
    parameters: tuple[Parameter, ...]

    def write(self, directory: Path) -> Path:
        """Writes the file, named after pipeline and version, and returns its path.

        Raises:
            SettingsError: the file cannot be written.
        """
        path = directory / f"{self.name}-{self.version}.yaml"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            replace_file(path, self.text.encode())
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}; name another directory with --output") from error
        return path


@dataclass(frozen=True)
class Started:
    """A run or a schedule on Kubeflow Pipelines.

    Attributes:
        id: id of the run or schedule.
        page: address of the page that shows it.
    """

    id: str
    page: str


def compile_pipeline(settings: Settings, plan: Mapping[str, Any]) -> Compiled:
    """Compiles the pipeline.

    Args:
        settings: all settings.
        plan: the plan of these settings, see `pipeline.runners.plan`.

    Raises:
        RunError: kfp is not installed.
    """
    parameters = _parameters(settings)
    with temporary_directory() as directory:
        file = Path(directory) / "pipeline.yaml"
        declared = [
            {name: value for name, value in vars(parameter).items() if value is not None} for parameter in parameters
        ]
        _run_script(settings.kubeflow, {"action": "compile", "plan": plan, "parameters": declared, "file": str(file)})
        text = file.read_text(encoding="utf-8")
    version = f"{plan['version']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Compiled(plan["pipeline"], version, text, tuple(parameters))


def submit(settings: KubeflowSettings, compiled: Compiled, given: Mapping[str, str]) -> Started:
    """Starts one run.

    Args:
        settings: settings with the address of the API.
        compiled: the pipeline to run.
        given: values of parameters by name; the others keep their defaults.

    Raises:
        SettingsError: a parameter is unknown or missing, or no host is set.
        KubeflowError: the API does not respond, or refuses the request.
    """
    run = _send(settings, compiled, given, {"action": "submit"})
    return Started(run, f"{settings.host}/#/runs/details/{run}")


def schedule(settings: KubeflowSettings, compiled: Compiled, cron: str, given: Mapping[str, str], name: str) -> Started:
    """Starts runs on a schedule, one at a time; replaces an existing schedule of the same name.

    Args:
        settings: settings with the address of the API.
        compiled: the pipeline to run.
        cron: six fields, seconds first, or a word like @daily; UTC.
        given: values of parameters by name; the others keep their defaults.
        name: name of the schedule.

    Raises:
        SettingsError: the cron expression or a parameter is invalid, or no host is set.
        KubeflowError: the API does not respond, or refuses the request.
    """
    check_cron(cron)
    made = _send(settings, compiled, given, {"action": "schedule", "cron": cron, "name": name})
    return Started(made, f"{settings.host}/#/recurringrun/details/{made}")


def check_cron(cron: str) -> None:
    """Checks a cron expression.

    Raises:
        SettingsError: Kubeflow does not accept the expression.
    """
    if not cron.startswith("@") and len(cron.split()) != _CRON_FIELDS:
        raise SettingsError(
            f"--cron {cron!r} has {amount(len(cron.split()), 'field')}: Kubeflow takes six, seconds first, for "
            "instance '0 30 4 * * *' for 4:30 UTC each day"
        )


def check_host(settings: KubeflowSettings) -> None:
    """Checks that kubeflow.host is set.

    Raises:
        SettingsError: no host is set.
    """
    if settings.host is None:
        raise SettingsError("kubeflow.host is not set: name the address of the Kubeflow Pipelines API")


def check_parameters(compiled: Compiled, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the values of a run; the author, if the run needs one, is by default the person who runs this command.

    Raises:
        SettingsError: a parameter is unknown or missing.
    """
    declared = {parameter.name: parameter for parameter in compiled.parameters}
    for name in given:
        if name not in declared:
            hint = suggestion(name, declared, f"there are: {', '.join(sorted(declared))}")
            raise SettingsError(f"--param {name}: no such parameter of a run; {hint}")
    return ({_AUTHOR: identity()} if _AUTHOR in declared else {}) | dict(given)


def _parameters(settings: Settings) -> list[Parameter]:
    """Returns the parameters of a run; those without a default come first."""
    parameters = []
    if settings.promotion.require_approval:
        described = "person who starts the run: the author of the model, who may not approve it"
        parameters.append(Parameter(_AUTHOR, "--by=", described, None))
    for name, (key, described) in _PARAMETERS.items():
        section, _, field = key.partition(".")
        value = getattr(getattr(settings, section), field)
        parameters.append(Parameter(name, f"--set={key}=", described, "" if value is None else str(value)))
    return parameters


def _send(settings: KubeflowSettings, compiled: Compiled, given: Mapping[str, str], request: Mapping[str, Any]) -> str:
    values = check_parameters(compiled, given)
    check_host(settings)
    token = _token(settings)
    # kfp's own client retries for 30 seconds before it reports an error.
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{settings.host}/apis/v2beta1/healthz"
    try:
        with httpx.Client(timeout=_ANSWERS_WITHIN, follow_redirects=True, mounts=proxy_mounts(url)) as http:
            http.get(url, headers=headers).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise KubeflowError(
            f"kubeflow.host {settings.host}: no Kubeflow Pipelines API there ({error}); correct the address, forward a "
            "port to it (kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80), or name kubeflow.token_file"
        ) from error
    with temporary_directory() as directory:
        request = {
            **request,
            **settings.model_dump(include={"host", "namespace", "experiment", "pipeline_root"}),
            "token": token,
            "file": str(compiled.write(Path(directory))),
            "values": values,
            "title": f"{compiled.name} {compiled.version}",
        }
        return _run_script(settings, request)


def _run_script(settings: KubeflowSettings, request: Mapping[str, Any]) -> Any:
    python = settings.python or _PROJECT / ".venv-kubeflow/bin/python"
    if not python.exists():
        raise RunError(f"kfp is not installed: no {python}; run scripts/setup.sh kubeflow, or set kubeflow.python")
    ended = subprocess.run(
        [python, "-I", _SCRIPT], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if ended.returncode == KubeflowError.exit_code:
        raise KubeflowError(f"{settings.host} {ended.stderr}")
    if ended.returncode:
        raise RunError(f"{python} could not {request['action']} the pipeline: {ended.stderr.strip()[-2000:]}")
    return json.loads(ended.stdout)


def _token(settings: KubeflowSettings) -> str | None:
    if settings.token_file is None:
        return None
    try:
        return read_small_file(settings.token_file).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"kubeflow.token_file: {error}; make it readable or unset it") from error
