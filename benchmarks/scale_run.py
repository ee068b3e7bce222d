"""One measurement of `benchmarks.scale`, in a process of its own: the data stages, until Transform."""

import json
import sys
from pathlib import Path

from pipeline.settings import Settings


def main(directory: str, rows: str, beam: str) -> None:
    """Runs the stages on `directory`/data and writes the seconds of each to `directory`/seconds.json.

    Args:
        directory: where data lies and artifacts go.
        rows: training rows, for the record.
        beam: the section `beam` of the settings, JSON.
    """
    from rich.console import Console

    from benchmarks.stages import StageTimes
    from components.example_gen.sources import DataSource
    from pipeline.dag import create_pipeline
    from pipeline.job_servers import job_servers_stop_with_it
    from pipeline.runners import local
    from pipeline.runners.run_id import new_run_id

    place = Path(directory)
    settings = Settings.model_validate({"pipeline": {"root": str(place / "runs")}, "beam": json.loads(beam)})
    source = DataSource(str(place / "data"), "train-*.csv", "test.csv", f"{rows} repeated rows")
    times = StageTimes(Console(file=sys.stderr))
    with job_servers_stop_with_it():
        local.run(create_pipeline(settings, source, until="Transform"), new_run_id(), place / "runs", times)
    (place / "seconds.json").write_text(json.dumps(times.seconds), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
