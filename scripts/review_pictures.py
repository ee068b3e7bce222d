"""Takes screenshots of each page of the review site: three widths, light and dark.

Usage: review_pictures.py DIRECTORY [--set KEY=VALUE …]; the settings name the metadata store and the serving directory.
"""

import sys
from pathlib import Path

from pipeline.monitoring.archive import reports_directory, stored_reports
from pipeline.review.app import make_app
from pipeline.review.security import Tokens
from pipeline.review.site import Site
from pipeline.settings.sources import load
from tests.support.browser import launched
from tests.support.web_app import serve_app

_WIDTHS = (1280, 768, 390)
_SCHEMES = ("light", "dark")


def main() -> None:
    directory, *arguments = sys.argv[1:]
    given = dict(text.split("=", 1) for text in arguments if text != "--set")
    settings = load(flags={key: (value, "--set") for key, value in given.items()}).settings
    site = Site(settings, Tokens(None, {"reviewer@example.com": "only for a picture"}))
    with serve_app(make_app(site)) as url, launched() as browser:
        for scheme in _SCHEMES:
            context = browser.new_context(base_url=url, color_scheme=scheme)
            page = context.new_page()
            for name, address in _pages(site).items():
                for width in _WIDTHS:
                    page.set_viewport_size({"width": width, "height": 900})
                    page.goto(address)
                    page.screenshot(path=Path(directory) / f"{name}-{width}-{scheme}.png", full_page=True)
            context.close()


def _pages(site: Site) -> dict[str, str]:
    """Returns the address of one page of each kind, by its name."""
    index = site.index()
    models, runs = list(index.models.values()), list(index.runs.values())
    pages = {name: f"/{name}" for name in ("served", "models", "runs", "approvals", "spans", "trends", "monitoring")}
    reports = stored_reports(reports_directory(site.settings))
    if reports:
        pages |= {"report": f"/monitoring/{reports[-1].version}/{reports[-1].moment}"}
    if runs:
        pages |= {"run": f"/runs/{runs[-1].run.id}", "data": f"/runs/{runs[-1].run.id}/data"}
        pages |= {"span": f"/spans/{next(iter(index.spans))}"}
        failed = [row for row in runs if row.failure]
        pages |= {"failed": f"/runs/{failed[-1].run.id}"} if failed else {}
    if models:
        model = models[-1].id
        pages |= {"model": f"/models/{model}", "card": f"/models/{model}/card", "lineage": f"/lineage/{model}"}
    if len(models) > 1:
        pages |= {"compare": f"/compare?first={models[-2].id}&second={models[-1].id}"}
    return pages


if __name__ == "__main__":
    main()
