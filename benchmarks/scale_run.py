"""Runs the data stages up to Transform in a separate process, for one measurement of `benchmarks.scale`."""

import json
import sys
from pathlib import Path

from pipeline.settings import Settings
from schema.files import replace_file


def main(directory: str, rows: str, sections: str) -> None:
    """Runs the stages on `directory`/data, and writes the seconds of each to `directory`/progress.json.

    Args:
        directory: directory of data and artifacts.
        rows: number of training rows, for the record.
        sections: sections of the settings, as JSON.
    """
    from rich.console import Console

    from benchmarks.growing_rows import TEST_FILE, TRAIN_FILES
    from benchmarks.stages import StageTimes
    from components.example_gen.sources import DataSource
    from pipeline.beam.job_servers import stop_job_servers_on_exit
    from pipeline.dag import create_pipeline
    from pipeline.runners import local
    from pipeline.runners.events import ComponentEvent
    from pipeline.runners.run_id import new_run_id

    class Progress(StageTimes):
        def component_changed(self, event: ComponentEvent) -> None:
            super().component_changed(event)
            # Readers find a complete file at any time.
            progress = {"stage": event.component, "seconds": self.seconds}
            replace_file(place / "progress.json", json.dumps(progress).encode())

    place = Path(directory)
    settings = Settings.model_validate({"pipeline": {"root": str(place / "runs")}} | json.loads(sections))
    source = DataSource(str(place / "data"), TRAIN_FILES, TEST_FILE, f"{rows} repeated rows")
    with stop_job_servers_on_exit():
        pipeline = create_pipeline(settings, source, until="Transform")
        local.run(pipeline, new_run_id(), place / "runs", Progress(Console(file=sys.stderr)))


if __name__ == "__main__":
    main(*sys.argv[1:])
