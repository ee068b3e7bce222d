"""Ten days of news in one story: good ones, a corrupt, an empty, a drifting, a late and a re-issued one, and the model
that each day leaves in service.
"""

import contextlib
import csv
import itertools
import json
import os
import random
import re
from dataclasses import dataclass
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

# Thirteen runs in one fixture.
pytestmark = [pytest.mark.continuous, pytest.mark.timeout(3600)]

DAY = "2026-03-{:02d}"
PATTERN = "{{YYYY}}-{{MM}}-{{DD}}/v{{VERSION}}/{}.csv"
ROWS = {"train": 320, "val": 100, "test": 100}
VAL_FRACTION = 0.2
TOPICS = ["border embassy treaty", "striker coach stadium", "shares profit merger", "browser software chip"]
SHARED = "the a new report says after before Monday team deal plan record group city talks of"
WORDS = [f"{SHARED} {own} {own}".split() for own in TOPICS]
EVEN, LOPSIDED = (0.25, 0.25, 0.25, 0.25), (0.45, 0.05, 0.25, 0.25)


def texts(generator, split, label):
    """Endless items of a topic, those of train and val as the hash of their text parts them."""
    from components.example_gen.rows import LabelledItem

    while True:
        words = generator.choices(WORDS[label], k=generator.randint(12, 40))
        row = LabelledItem(" ".join(words[:6]), " ".join(words[6:]), label=label)
        if split == "test" or row.split(VAL_FRACTION) == split:
            yield row


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit status, what it printed, and the spans and versions that its model was trained on."""

    status: int
    output: str
    run: str
    versions: list[str]

    @property
    def states(self):
        return dict(re.findall(r"^[\d:]{8} (\w+): (done|cached|failed|skipped) \(", self.output, re.MULTILINE))


class Newsroom:
    """A directory where each day's rows arrive, and the pipeline that is run on them in this process."""

    def __init__(self, directory, webhook):
        self.directory = directory
        self._runs = 0
        settings = {
            "data.train_pattern": PATTERN.format("train"),
            "data.test_pattern": PATTERN.format("test"),
            "data.val_fraction": VAL_FRACTION,
            "data.window": 2,
            "transform.vocabulary_size": 200,
            "trainer.architecture": "lstm",
            "trainer.embedding_dim": 16,
            "trainer.epochs": 2,
            "trainer.batch_tokens": 300,
            "trainer.learning_rate": 0.02,
            "trainer.warm_start": "true",
            "evaluator.min_accuracy": 0.6,
            "evaluator.min_label_recall": 0.3,
            "evaluator.max_accuracy_drop": 0.3,
            "evaluator.max_label_recall_drop": 0.5,
            "model_card.robustness_rows": 10,
            "alerts.webhook_url": webhook,
            "pipeline.root": directory / "runs",
            "pusher.destination": directory / "serving",
        }
        self._arguments = ["run", "--profile", "sample", "--data", str(directory / "data")]
        self._arguments += itertools.chain.from_iterable(("--set", f"{key}={value}") for key, value in settings.items())

    def arrives(self, day, *, version=1, shares=EVEN, empty=False, bad_rows=0, wrong_test_labels=False):
        """Writes a day's files, of each class its share of the rows."""
        generator = random.Random(100 * day + version)
        folder = self.directory / "data" / DAY.format(day) / f"v{version}"
        folder.mkdir(parents=True)
        rows = {"train": [], "test": []}
        for split, count in ROWS.items():
            for label, share in enumerate(shares):
                of_topic = itertools.islice(texts(generator, split, label), 0 if empty else round(count * share))
                shown = (label + 1) % 4 if wrong_test_labels and split == "test" else label
                rows["test" if split == "test" else "train"] += [
                    [shown + 1, row.title, row.description] for row in of_topic
                ]
        rows["train"] += [["9", "an", "unknown class"]] * bad_rows
        for name, lines in rows.items():
            generator.shuffle(lines)
            with open(folder / f"{name}.csv", "w", newline="") as file:
                csv.writer(file, quoting=csv.QUOTE_ALL).writerows(lines)

    def run(self, day=None):
        """`agnews run`, for a named day or the latest."""
        from pipeline.cli import cli
        from schema.errors import AgNewsError

        span = [] if day is None else ["--span", DAY.format(day)]
        self._runs += 1
        with printed(self.directory / f"printed-{self._runs:02}.txt") as output:
            status = 0
            try:
                cli([*self._arguments, *span], standalone_mode=False)
            except AgNewsError as error:
                status = error.exit_code
                print(error)  # noqa: T201 - as the command does
            except SystemExit as ended:
                status = ended.code
        text = output()
        [run] = re.findall(r"^run (\S+),", text, re.MULTILINE)
        return Ended(status, text, run, self.versions)

    @property
    def versions(self):
        serving = self.directory / "serving/agnews"
        return sorted(path.name for path in serving.iterdir() if path.name.isdecimal()) if serving.exists() else []

    def store(self):
        from ml_metadata import metadata_store
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(self.directory / "runs/metadata.sqlite")
        return metadata_store.MetadataStore(config)

    def trained_on(self, ended):
        """Days and versions of the rows that a run's model was trained on."""
        [transform] = self._executions(ended.run, "Transform")
        inputs = self._artifacts(transform, "examples")
        days = [(a.custom_properties["span"].int_value, a.custom_properties["version"].int_value) for a in inputs]
        return [(span - FIRST + 1, version) for span, version in sorted(days)]

    def began_with(self, ended):
        """The id of the model that a run's training began with, or None, and that of the model it made."""
        [trainer] = self._executions(ended.run, "Trainer")
        base, made = self._artifacts(trainer, "base_model"), self._artifacts(trainer, "model")
        return base[0].id if base else None, made[0].id

    def _executions(self, run, component):
        store = self.store()
        context = store.get_context_by_type_and_name("pipeline_run", run)
        return [
            execution.id
            for execution in store.get_executions_by_context(context.id)
            if any(c.name == f"agnews.{component}" for c in store.get_contexts_by_execution(execution.id))
        ]

    def _artifacts(self, execution, key):
        store = self.store()
        events = [e for e in store.get_events_by_execution_ids([execution]) if e.path.steps[0].key == key]
        return store.get_artifacts_by_id([event.artifact_id for event in events])


FIRST = 20513  # 2026-03-01, in days since 1970-01-01.


@contextlib.contextmanager
def printed(path):
    """Sends what is printed, by Python or to the file descriptor, to a file; yields a function that reads it."""
    with open(path, "w") as file:
        saved = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with contextlib.redirect_stdout(file):
                yield path.read_text
        finally:
            os.dup2(saved, 1)
            os.close(saved)


@pytest.fixture(scope="module")
def webhook(http_sink):
    with http_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def story(tmp_path_factory, webhook):
    room = Newsroom(tmp_path_factory.mktemp("a news room"), webhook.url)
    results = SimpleNamespace(room=room, webhook=webhook)
    room.arrives(1)
    results.first = room.run()
    room.arrives(2)
    results.second = room.run()
    room.arrives(3, bad_rows=40)
    results.corrupt = room.run()
    room.arrives(4)
    results.after_corrupt = room.run()
    room.arrives(5, empty=True)
    results.empty = room.run()
    room.arrives(6, shares=LOPSIDED)
    results.drifting = room.run()
    room.arrives(7)
    results.after_drift = room.run()
    results.again = room.run()
    room.arrives(8, wrong_test_labels=True)
    results.not_blessed = room.run()
    room.arrives(10)
    results.tenth = room.run()
    room.arrives(9)
    results.late = room.run(9)
    room.arrives(2, version=2)
    results.too_late = room.run(2)
    room.arrives(10, version=2)
    results.reissued = room.run()
    return results


def newly_pushed(before, after):
    return sorted(set(after.versions) - set(before.versions))


def test_the_first_day_trains_a_model_and_pushes_it(story):
    assert story.first.status == 0
    assert story.room.trained_on(story.first) == [(1, 1)]
    assert len(story.first.versions) == 1


def test_a_new_day_trains_on_the_window_and_is_pushed(story):
    assert story.room.trained_on(story.second) == [(1, 1), (2, 1)]
    assert len(newly_pushed(story.first, story.second)) == 1
    assert "window: spans 2026-03-01 and 2026-03-02 train" in story.second.output
    assert "1,040 rows read" not in story.second.output  # A day is read once.


def test_the_drift_of_an_accepted_day_is_in_the_summary(story):
    assert "drift against span 2026-03-01" in story.second.output
    assert "drift against spans 2026-03-02 and 2026-03-04" in story.after_drift.output
    assert re.search(r"^label +L-infinity distance +0\.0\d+ +0\.0\d+ +0\.0\d+ +≤ 0\.05", story.second.output, re.M)


def test_a_corrupt_day_is_refused_and_in_no_later_window(story):
    assert story.corrupt.status == 3
    assert "40 of 560 rows are bad" in story.corrupt.output
    assert story.corrupt.versions == story.second.versions
    assert story.room.trained_on(story.after_corrupt) == [(2, 1), (4, 1)]
    assert newly_pushed(story.corrupt, story.after_corrupt)


def test_an_empty_day_is_skipped_and_that_is_no_failure(story):
    assert story.empty.status == 0
    assert story.empty.states == {"AgNewsExampleGen": "skipped"}
    assert "skipped: " in story.empty.output
    assert "2026-03-05/v1/train.csv contain no rows" in story.empty.output
    assert story.empty.versions == story.after_corrupt.versions


def test_a_drifting_day_is_refused_and_neither_trains_nor_is_compared_with(story):
    assert story.drifting.status == 4
    assert "feature label" in story.drifting.output
    assert "Transform" not in story.drifting.states
    assert story.after_drift.status == 0
    assert story.room.trained_on(story.after_drift) == [(4, 1), (7, 1)]


def test_the_same_day_again_trains_nothing_and_says_when_it_was_trained(story):
    assert story.again.status == 0
    assert story.again.states["Trainer"] == story.again.states["AgNewsPusher"] == "cached"
    trained = f"nothing new: spans 2026-03-04 and 2026-03-07 trained in run {story.after_drift.run}"
    assert trained in story.again.output
    assert story.again.versions == story.after_drift.versions


def test_a_model_that_is_not_good_enough_on_the_new_day_is_not_pushed(story):
    assert story.not_blessed.status == 0
    assert story.room.trained_on(story.not_blessed) == [(7, 1), (8, 1)]
    assert "not blessed: accuracy is" in story.not_blessed.output
    assert story.not_blessed.versions == story.again.versions


def test_a_training_begins_with_the_last_blessed_model(story):
    room = story.room
    assert room.began_with(story.first)[0] is None
    assert room.began_with(story.second)[0] == room.began_with(story.first)[1]
    # Not with the one that was not blessed.
    assert room.began_with(story.tenth)[0] == room.began_with(story.after_drift)[1]
    assert "Trainer: warm start: " in story.second.output


def test_a_late_day_joins_the_window_where_it_belongs(story):
    assert story.room.trained_on(story.tenth) == [(8, 1), (10, 1)]
    assert story.late.status == 0
    assert story.room.trained_on(story.late) == [(9, 1), (10, 1)]
    assert newly_pushed(story.tenth, story.late)


def test_a_day_older_than_the_window_is_accepted_and_trains_nothing(story):
    assert story.too_late.status == 0
    assert story.too_late.states["AgNewsExampleGen"] == "done"
    assert story.too_late.states["Transform"] == story.too_late.states["AgNewsPusher"] == "cached"
    assert "older than the window" in story.too_late.output
    assert f"trained in run {story.late.run}" in story.too_late.output
    assert story.too_late.versions == story.late.versions


def test_a_reissued_day_takes_the_place_of_its_first_version(story):
    assert story.room.trained_on(story.reissued) == [(9, 1), (10, 2)]
    assert newly_pushed(story.too_late, story.reissued)


def test_each_day_is_ingested_once(story):
    examples = story.room.store().get_artifacts_by_type("Examples")
    days = [
        (a.custom_properties["span"].int_value - FIRST + 1, a.custom_properties["version"].int_value)
        for a in examples
        if "rows_read" in a.custom_properties
    ]
    assert sorted(days) == [(1, 1), (2, 1), (2, 2), (4, 1), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1), (10, 2)]


def test_review_and_reproduction_know_a_windows_days_and_base_model(story, tmp_path):
    from pipeline.experiments.reproduce.reproduce import reproduce
    from pipeline.metadata.lineage import model_lineage
    from tests.support.review_site import serving, settings_of, text

    store, settings = story.room.store(), settings_of(story.room.directory, root="runs")
    base, made = story.room.began_with(story.tenth)
    assert base is not None
    days = [day for day, _ in story.room.trained_on(story.tenth)]
    assert len(days) == 2
    origin = model_lineage(store, made)
    assert [a.custom_properties["span"].int_value - FIRST + 1 for a in origin.ingested] == days
    assert len(origin.statistics) == 2

    spans = [FIRST + day - 1 for day in days]
    with serving(settings) as client:
        assert f"spans {spans[0]} , {spans[1]} of" in text(client.get(f"/models/{made}"))
        for span in spans:
            assert f"model {made}" in text(client.get(f"/spans/{span}"))

    again = reproduce(settings, store, made, tmp_path, Mock())
    assert again.same_rows
    assert again.same


def test_people_get_an_alert_of_each_push_and_failure_once(story):
    results = [json.loads(body)["text"].splitlines()[0] for body in story.webhook.bodies]
    pushes = [text for text in results if text.startswith("agnews: a model was pushed")]
    assert len(pushes) == len(set(pushes)) == len(story.tenth.versions)
    assert [text for text in results if text not in pushes] == [
        f"agnews: the run failed ({story.corrupt.run})",
        f"agnews: the data drifted and was rejected ({story.drifting.run})",
        f"agnews: the model was not blessed ({story.not_blessed.run})",
    ]
