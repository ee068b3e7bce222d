"""Tests of the site in Chromium: navigation, sorting, graphs, comparison and approval."""

import re

import pytest

from tests.support.browser import CONTRAST, axe_problems, launched
from tests.support.review_site import TOKEN, serving, settings_of


@pytest.fixture(scope="module")
def browser():
    with launched() as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def page(browser, site, request):
    """A page in each colour scheme; the test fails if the console has messages."""
    with opened(browser, site, color_scheme=request.param) as page:
        yield page


def eventually(locator):
    """Returns an expectation that waits for the page that a click loads."""
    from playwright.sync_api import expect

    return expect(locator)


class opened:
    """Opens a page of the site and checks at the end that its console is empty."""

    def __init__(self, browser, client, **options):
        size = {"width": 1200, "height": 800}
        self.context = browser.new_context(base_url=str(client.base_url), viewport=size, **options)
        self.console = []

    def __enter__(self):
        page = self.context.new_page()
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.set_default_timeout(20_000)
        page.goto("/")
        return page

    def __exit__(self, *raised):
        self.context.close()
        if raised[0] is None:
            assert self.console == []


def test_the_first_page_has_five_questions_and_links_to_a_comparison(page):
    assert page.get_by_role("heading", level=1).inner_text() == "In production"
    for question in (
        "What data?",
        "What code?",
        "What evidence?",
        "Who approved?",
        "What changed since the previous version?",
    ):
        assert page.get_by_role("heading", name=question).is_visible()
    page.get_by_role("link", name="Full comparison with examples").click()
    eventually(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Models \d+ and \d+"))


def test_a_script_in_a_card_does_not_run(browser, site):
    opening = opened(browser, site)
    with opening as page:
        page.get_by_role("link", name="Model card").click()
        eventually(page.get_by_role("heading")).to_have_text(re.compile("Card of model"))
        assert page.title() == "Card"
        assert "Blocked script execution" in opening.console.pop()


def test_clicking_a_heading_sorts_and_reverses(page):
    page.get_by_role("link", name="Runs", exact=True).click()
    column = page.locator("tbody tr th")
    eventually(column.first).to_have_text("local-000011")
    page.get_by_role("columnheader", name="run", exact=False).first.get_by_role("link").click()
    eventually(column.first).to_have_text("local-000000")
    page.get_by_role("link", name="failed").click()
    eventually(column).to_have_text(["local-000007"])


def test_the_graph_links_a_version_to_its_span_and_models(page):
    page.get_by_role("link", name="Ancestors").click()
    eventually(page.locator("svg.graph a")).to_have_count(9)
    page.locator("svg.graph a", has_text="span 1").click()
    page.get_by_role("link", name="which pushed models were trained on this span?").click()
    eventually(page.get_by_role("row", name="in production")).to_have_count(1)


def test_a_box_links_to_its_table_row(page):
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="local-000011").click()
    page.locator("svg.graph a", has_text="Evaluator").click()
    eventually(page.locator("tr:target th")).to_have_text("Evaluator")


def test_a_monitoring_report_opens_with_its_plots_and_styles(page):
    page.get_by_role("link", name="Monitoring", exact=True).click()
    page.get_by_role("link", name="2026-01-02 06:00").click()
    eventually(page.get_by_role("heading", level=1)).to_have_text(re.compile("Monitoring: agnews, version"))
    # One window has no lines to draw, and no heading without them.
    assert page.get_by_role("heading", name="Over time").count() == 0
    assert page.locator("svg[role=img]").count() == 0
    assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none"


def test_two_models_are_selected_and_compared(page):
    page.get_by_role("link", name="Models", exact=True).click()
    page.get_by_role("radio", name="as the first").last.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("link", name="fixed").click()
    page.wait_for_url("**outcome=fixed**")
    assert set(page.locator("#predictions ~ .scroll tbody td.nowrap").all_inner_texts()) == {"fixed"}


def test_pages_can_be_navigated_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/approvals")


@pytest.mark.parametrize("address", ["/served", "/runs", "/models", "/trends", "/approvals", "/spans/0", "/monitoring"])
def test_text_has_sufficient_contrast(page, address):
    """Requires a contrast of 4.5:1 (WCAG 2.2, success criterion 1.4.3)."""
    page.goto(address)
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 10
    assert [entry for entry in ratios if entry[1] < 4.5] == []


def test_every_page_fits_on_a_phone_and_has_landmarks(browser, site, snapshot):
    first, *_, last = [model.id for model in snapshot.of_type("Model")]
    run = next(iter(snapshot.runs))
    with opened(browser, site) as page:
        page.set_viewport_size({"width": 360, "height": 640})
        for address in (
            *("/served", "/runs", "/models", "/approvals", "/spans", "/spans/0", "/trends", "/compare", "/monitoring"),
            *(f"/runs/{run}", f"/runs/{run}/data", f"/models/{last}", f"/lineage/{last}"),
            f"/compare?first={first}&second={last}",
        ):
            page.goto(address)
            page.evaluate("document.querySelector('h1').append(' local-20261127T105918.546724Z')")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
            assert page.locator("h1").count() == page.locator("main").count() == 1
            unnamed = "[...document.querySelectorAll('table')].filter(t => !t.caption && !t.closest('section')).length"
            assert page.evaluate(unnamed) == 0, address


def test_a_model_is_approved_after_a_rejected_attempt(browser, decidable):
    settings, model = decidable
    with serving(settings) as client:
        page_of = opened(browser, client)
        with page_of as page:
            page.get_by_role("link", name="Approvals").click()
            page.get_by_role("link", name=str(model), exact=True).click()
            page.get_by_label("Reason").fill("recall of World is up")
            page.get_by_label("Your name").fill("ann@laptop")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Approve").click()
            eventually(page.get_by_role("alert")).to_contain_text("trained it")
            # Chromium remarks on the console if somebody focuses a field before it has focused the message.
            eventually(page.get_by_role("alert")).to_be_focused()
            # The form keeps the input except for the token.
            assert page.get_by_label("Reason").input_value() == "recall of World is up"
            page.get_by_label("Your name").fill("bob")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Approve").click()
            page.get_by_role("table", name="Decisions").get_by_role("row", name="bob").wait_for()
            page_of.console = [text for text in page_of.console if "409" not in text]


PLACES = (
    *("/served", "/models", "/runs", "/approvals", "/spans", "/spans/0", "/trends", "/monitoring", "/compare"),
    *("/models/{model}?decided=1", "/lineage/{model}", "/runs/{run}", "/runs/{failed}"),
    *(
        "/runs/{run}/data",
        "/compare?first={first}&second={model}",
        "/nothing",
        "/monitoring/{version}/{moment}",
        "/models/settings",
        "/runs?setting=trainer.epoch=2",
        "/lineage/{model}?way=down",
        "/models/{refused}",
        "/runs/{failed}/data",
        "/runs/{failed}/log",
    ),
)


def test_axe_finds_nothing_after_a_refused_form(browser, decidable):
    settings, model = decidable
    with serving(settings) as client, opened(browser, client) as page:
        form = {"token": "wrong", "by": "bob@here", "reason": "fine", "decision": "approve"}
        refused = client.post(f"/models/{model}/decision", data=form).text
        assert "The token is wrong" in refused
        page.set_content(refused)
        assert axe_problems(page) == []


def test_axe_finds_nothing_on_a_site_without_runs(browser, tmp_path):
    with serving(settings_of(tmp_path)) as client, opened(browser, client) as page:
        page.goto("/runs")
        assert axe_problems(page) == []


@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_in_any_width_and_scheme(browser, site, snapshot, simulated, place):
    models, runs = snapshot.of_type("Model"), list(snapshot.runs)
    blessings = snapshot.of_type("ModelBlessing")
    names = {"model": models[-1].id, "first": models[0].id, "run": runs[-1], "failed": runs[7]}
    names["refused"] = next(one.properties["current_model_id"] for one in blessings if not one.properties["blessed"])
    names |= {"version": simulated.versions[-1], "moment": "20260102T060000.000Z"}
    opening = opened(browser, site)
    with opening as page:
        address = place.format(**names)
        if address.startswith("/monitoring/"):  # Its policy keeps scripts out, also those of axe.
            page.goto("about:blank")
            page.set_content(site.get(address).text)
        else:
            page.goto(address)
        assert axe_problems(page) == []
        # The status of a missing page is a message of the console.
        opening.console = [message for message in opening.console if "404" not in message]
