"""`agnews plan`: prints what an orchestrator needs to run the pipeline."""

import json
import os
import sys
from pathlib import Path

import click

from pipeline.cli.options import LocalPath, settings_arguments, settings_options
from pipeline.cli.output import hide_library_output, write_file
from pipeline.settings.sources import Loaded


@click.command(epilog="Example:  agnews plan --profile sample --output plan.json")
@click.option("--output", type=LocalPath(dir_okay=False), help="Write the plan to this file  [default: print it]")
@settings_options
def plan(loaded: Loaded, output: Path | None) -> None:
    """Print the plan of a run as JSON, for an orchestrator.

    The plan names the components with those that each waits for, this command with its directory and options, the exit
    statuses of `agnews component`, and what an orchestrator needs of the settings. It touches neither data nor metadata
    store, and the same settings and code give the same plan.
    """
    this_command = {"command": [str(Path(sys.executable).with_name("agnews"))], "directory": os.getcwd()}
    options = settings_arguments(loaded)
    with hide_library_output():
        from pipeline.runners.plan import make_plan
        from pipeline.runners.preflight import check_pods

        if loaded.settings.airflow.tasks == "pod":
            check_pods(loaded.settings)
        text = json.dumps(this_command | make_plan(loaded.settings, options), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    write_file("--output", output, text)
