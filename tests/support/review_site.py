"""A review site over a store, and what its tests compare."""

import contextlib
import html
import re

import httpx

from benchmarks.review_store import SimulatedStore
from pipeline.monitoring.report import Alert, LabelledQuality, Proportion, Report, Window
from pipeline.review.app import make_app
from pipeline.review.security import Tokens
from pipeline.review.site import Site
from pipeline.settings import Settings
from schema.features import CLASS_NAMES
from tests.support.web_app import serve_app

TOKEN = "a token of many characters"
ALERT = Alert("drift", "label", "2026-01-02T03:00+00:00", "2026-01-02T05:00+00:00", 3, 0.4, 0.1, 1e-9)


LABELLED = LabelledQuality(Proportion(40, 34, 0.7093, 0.9294), {}, {}, 0.8, None, None, False, {})


def report_on(version, made, alerts=(), quality=None):
    """Returns a monitoring report on one hour."""
    windows = (Window(f"{made[:10]}T05:00+00:00", 60, dict.fromkeys(CLASS_NAMES, 0.25), 0.8, 200.0, 0.02, ()),)
    return Report("agnews", version, None, made, 1, 60, {}, 60, (0.1,), (), windows, alerts, (), quality)


def settings_of(directory, root="."):
    """Returns settings with the metadata store in `directory / root` and the serving directory in `directory`."""
    return Settings.model_validate(
        {
            "pipeline": {"root": str(directory / root)},
            "pusher": {"destination": str(directory / "serving_model")},
            # The simulated decisions are old and must not expire.
            "promotion": {"expires_hours": 87_600},
        }
    )


def text(response):
    """Returns the text of a page without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.text)).split())


@contextlib.contextmanager
def serving(settings, tokens=Tokens(TOKEN, {}), login=None):  # noqa: B008 - immutable
    """Serves the site and yields a client."""
    with (
        serve_app(make_app(Site(settings, tokens, login=login))) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def waiting_store(root):
    """Creates a store whose ninth run waits for approval; returns its settings and that run's model id."""
    made = SimulatedStore(root, files=1, test_rows=8, exports=True)
    made.add_runs(9)
    [request] = made.store.get_artifacts_by_type("AgNewsApprovalRequest")[-1:]
    return settings_of(root), request.custom_properties["model_id"].int_value
