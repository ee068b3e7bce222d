"""One measurement of `benchmarks.scale`, in a process of its own: the data stages, until Transform."""

import json
import sys
from pathlib import Path

from pipeline.settings import Settings
from schema.files import replace_file


def main(directory: str, rows: str, sections: str) -> None:
    """Runs the stages on `directory`/data; `directory`/progress.json has the seconds of each that has ended.

    Args:
        directory: where data lies and artifacts go.
        rows: training rows, for the record.
        sections: of the settings, JSON.
    """
    from rich.console import Console

    from benchmarks.stages import StageTimes
    from components.example_gen.sources import DataSource
    from pipeline.beam.job_servers import job_servers_stop_with_it
    from pipeline.dag import create_pipeline
    from pipeline.runners import local
    from pipeline.runners.events import ComponentEvent
    from pipeline.runners.run_id import new_run_id

    class Progress(StageTimes):
        def component_changed(self, event: ComponentEvent) -> None:
            super().component_changed(event)
            # Whoever reads it at any moment finds it whole.
            progress = {"stage": event.component, "seconds": self.seconds}
            replace_file(place / "progress.json", json.dumps(progress).encode())

    place = Path(directory)
    settings = Settings.model_validate({"pipeline": {"root": str(place / "runs")}} | json.loads(sections))
    source = DataSource(str(place / "data"), "train-*.csv", "test.csv", f"{rows} repeated rows")
    with job_servers_stop_with_it():
        pipeline = create_pipeline(settings, source, until="Transform")
        local.run(pipeline, new_run_id(), place / "runs", Progress(Console(file=sys.stderr)))


if __name__ == "__main__":
    main(*sys.argv[1:])
