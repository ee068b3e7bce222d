"""Fixtures with settings of a pipeline for Kubeflow whose pods use a test directory, and the compiled pipeline."""

import pytest

from pipeline.settings.sources import load


@pytest.fixture(scope="session")
def settings_at():
    def settings_at(directory, **flags):
        """Returns the profile's settings with all paths below a directory; flags have __ instead of the dot."""
        places = {
            "kubeflow.mount_path": str(directory),
            "pipeline.root": f"{directory}/runs",
            "data.path": f"{directory}/data",
            "pusher.destination": f"{directory}/serving_model",
        }
        values = places | {name.replace("__", "."): value for name, value in flags.items()}
        return load("kubeflow", None, {key: (value, f"--set {key}") for key, value in values.items()}).settings

    return settings_at


@pytest.fixture(scope="session")
def compiled_for(settings_at):
    def compiled_for(directory="/agnews", **flags):
        from pipeline.runners.kubeflow.compiler import compile_pipeline

        return compile_pipeline(settings_at(directory, **flags))

    return compiled_for


@pytest.fixture(scope="session")
def compiled(compiled_for):
    return compiled_for()
