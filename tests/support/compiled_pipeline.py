"""Reads a pipeline that `agnews kubeflow compile` wrote, as Kubeflow Pipelines reads it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_RUN = "{{$.pipeline_job_uuid}}"


@dataclass(frozen=True)
class Task:
    """A task of a run.

    Attributes:
        name: name that Kubeflow's page shows: that of the component, or "end of the run".
        container: the container's image, command, arguments and resources.
        kubernetes: volume, secret, security context and time limit, as kfp-kubernetes writes them.
        retries: number of further tries.
    """

    name: str
    container: Mapping[str, Any]
    kubernetes: Mapping[str, Any]
    retries: int

    @property
    def command(self) -> list[str]:
        """Command with its arguments."""
        return [*self.container["command"], *self.container["args"]]


class CompiledPipeline:
    """A compiled pipeline."""

    def __init__(self, text: str) -> None:
        self._specification, platform = yaml.safe_load_all(text)
        self._kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def tasks(self, run: str, parameters: Mapping[str, str]) -> Iterator[Task]:
        """Returns the tasks of the components in the order in which they may run."""
        values = self._values(parameters)
        handler, _ = self._ends()
        inner = _inputs(handler, values, run)
        tasks = self._component(handler)["dag"]["tasks"]
        waiting = set(tasks)
        while waiting:
            ready = next(one for one in tasks if one in waiting and not _upstream(tasks[one]) & waiting)
            yield self._task(tasks[ready], _inputs(tasks[ready], inner, run))
            waiting.remove(ready)

    def end_task(self, run: str, parameters: Mapping[str, str], state: str) -> Task:
        """Returns the task that runs after the others, which ended in a state: SUCCEEDED or FAILED."""
        _, end = self._ends()
        return self._task(end, _inputs(end, self._values(parameters), run) | {"status": json.dumps({"state": state})})

    def _values(self, parameters):
        declared = self._specification["root"]["inputDefinitions"]["parameters"]
        return {key: one.get("defaultValue") for key, one in declared.items()} | dict(parameters)

    def _ends(self):
        """The task with the components, and the one that runs after it."""
        tasks = self._specification["root"]["dag"]["tasks"].values()
        return sorted(tasks, key=lambda one: "dag" not in self._component(one))

    def _component(self, task):
        return self._specification["components"][task["componentRef"]["name"]]

    def _task(self, task, inputs):
        label = self._component(task)["executorLabel"]
        container = self._specification["deploymentSpec"]["executors"][label]["container"]

        def fill(text):
            return re.sub(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}", lambda found: inputs[found[1]], text)

        return Task(
            name=task["taskInfo"]["name"],
            container=container | {"args": [fill(one) for one in container["args"]]},
            kubernetes=self._kubernetes[label],
            retries=task.get("retryPolicy", {}).get("maxRetryCount", 0),
        )


def _upstream(task):
    return set(task.get("dependentTasks", ()))


def _inputs(task, values, run):
    inputs = {}
    for key, source in task.get("inputs", {}).get("parameters", {}).items():
        if "runtimeValue" in source:
            inputs[key] = source["runtimeValue"]["constant"].replace(_RUN, run)
        elif "componentInputParameter" in source:
            inputs[key] = values[source["componentInputParameter"]]
    return inputs
