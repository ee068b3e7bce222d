"""Submits a compiled pipeline to Kubeflow Pipelines, as one run or on a schedule."""

import contextlib
import difflib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeline.runners.kubeflow.compiler import Compiled, require_kfp
from pipeline.runners.kubeflow.tasks import AUTHOR
from pipeline.settings import KubeflowSettings
from schema.errors import AgNewsError, SettingsError
from serving.audit import identity
from serving.this_machine import proxy_mounts

_CRON_FIELDS = 6
_ANSWERS_WITHIN = 10.0  # seconds
_PAGE = 100


class KubeflowError(AgNewsError):
    """The API of Kubeflow Pipelines did not respond, or refused the request."""

    exit_code = 6


@dataclass(frozen=True)
class Started:
    """A run or a schedule on Kubeflow Pipelines.

    Attributes:
        id: id of the run or schedule.
        page: address of the page that shows it.
    """

    id: str
    page: str


def submit(settings: KubeflowSettings, compiled: Compiled, parameters: Mapping[str, str]) -> Started:
    """Starts one run.

    Args:
        settings: settings with the address of the API.
        compiled: the pipeline to run.
        parameters: values of runtime parameters by name, as text; the others keep their defaults.

    Raises:
        SettingsError: a parameter is unknown, missing or of the wrong type, or no host is set.
        KubeflowError: the API does not respond, or refuses the request.
    """
    values = checked_parameters(compiled, parameters)
    with _client(settings) as client, _file(compiled) as path:
        run = client.create_run_from_pipeline_package(
            str(path),
            arguments=values,
            run_name=f"{compiled.name} {compiled.version}",
            experiment_name=settings.experiment,
            namespace=settings.namespace,
            pipeline_root=settings.pipeline_root,
        )
        return Started(run.run_id, f"{settings.host}/#/runs/details/{run.run_id}")


def schedule(
    settings: KubeflowSettings, compiled: Compiled, cron: str, parameters: Mapping[str, str], name: str
) -> Started:
    """Starts runs on a schedule, one at a time; replaces an existing schedule of the same name.

    Args:
        settings: settings with the address of the API.
        compiled: the pipeline to run.
        cron: six fields, seconds first, or a word like @daily; UTC.
        parameters: values of runtime parameters by name, as text; the others keep their defaults.
        name: name of the schedule.

    Raises:
        SettingsError: the cron expression or a parameter is invalid, or no host is set.
        KubeflowError: the API does not respond, or refuses the request.
    """
    check_cron(cron)
    values = checked_parameters(compiled, parameters)
    with _client(settings) as client, _file(compiled) as path:
        experiment = client.create_experiment(settings.experiment, namespace=settings.namespace)
        listed = client.list_recurring_runs(
            page_size=_PAGE, experiment_id=experiment.experiment_id, namespace=settings.namespace
        )
        before = [one for one in listed.recurring_runs or [] if one.display_name == name]
        made = client.create_recurring_run(
            experiment.experiment_id,
            name,
            description=f"{compiled.name} {compiled.version}",
            cron_expression=cron,
            max_concurrency=1,
            # After a pause, start one run instead of all missed ones: each would ingest the same latest span.
            no_catchup=True,
            params=values,
            pipeline_package_path=str(path),
            pipeline_root=settings.pipeline_root,
        )
        for one in before:
            client.delete_recurring_run(one.recurring_run_id)
        return Started(made.recurring_run_id, f"{settings.host}/#/recurringrun/details/{made.recurring_run_id}")


def check_cron(cron: str) -> None:
    """Checks a cron expression.

    Raises:
        SettingsError: Kubeflow does not accept the expression.
    """
    if not cron.startswith("@") and len(cron.split()) != _CRON_FIELDS:
        raise SettingsError(
            f"--cron {cron!r} has {len(cron.split())} fields: Kubeflow takes six, seconds first, for instance "
            "'0 30 4 * * *' for 4:30 UTC each day"
        )


def check_host(settings: KubeflowSettings) -> None:
    """Checks that kubeflow.host is set.

    Raises:
        SettingsError: no host is set.
    """
    if settings.host is None:
        raise SettingsError("kubeflow.host is not set: name the address of the Kubeflow Pipelines API")


def checked_parameters(compiled: Compiled, given: Mapping[str, str]) -> dict[str, Any]:
    """Validates runtime parameters and converts them to their types.

    If the run needs an author and none is given, the author is the person who runs this command.

    Raises:
        SettingsError: a parameter is unknown, missing or of the wrong type.
    """
    declared = compiled.documents[0]["root"]["inputDefinitions"]["parameters"]
    values: dict[str, Any] = {AUTHOR: identity()} if AUTHOR in declared else {}
    for name, value in given.items():
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(declared))}"
            raise SettingsError(f"--param {name}: no such runtime parameter; {hint}")
        if declared[name]["parameterType"] == "NUMBER_INTEGER":
            try:
                values[name] = int(value)
            except ValueError:
                raise SettingsError(f"--param {name}: expected a whole number (received {value!r})") from None
        else:
            values[name] = value
    missing = [name for name in declared if name not in values and "defaultValue" not in declared[name]]
    if missing:
        raise SettingsError(f"no value for {', '.join(missing)}: name one with --param {missing[0]}=…")
    return values


@contextmanager
def _client(settings: KubeflowSettings) -> Iterator[Any]:
    """Opens kfp's client, and converts its errors to messages that say what to do."""
    require_kfp()
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

    import kfp
    import kfp_server_api
    import urllib3

    try:
        # kfp prints its own links and warnings.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield kfp.Client(host=settings.host, namespace=settings.namespace or "kubeflow", existing_token=token)
    except kfp_server_api.ApiException as error:
        raise KubeflowError(f"{settings.host} refused: {error.status} {error.reason}: {error.body}") from error
    except urllib3.exceptions.HTTPError as error:
        raise KubeflowError(f"{settings.host} stopped answering: {error}; try again") from error


def _token(settings: KubeflowSettings) -> str | None:
    if settings.token_file is None:
        return None
    try:
        return settings.token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"kubeflow.token_file: {error}; make it readable or unset it") from error


@contextmanager
def _file(compiled: Compiled) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield compiled.write(Path(directory))
