"""Tests the demo page in Chromium."""

import pytest

from tests.support.browser import CONTRAST, launched


@pytest.fixture(scope="module")
def browser():
    with launched() as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def page(browser, serve_page, request):
    """A page in each colour scheme. The fixture fails on errors in the console."""
    errors = []
    with (
        serve_page() as url,
        browser.new_context(color_scheme=request.param, viewport={"width": 900, "height": 700}) as context,
    ):
        page = context.new_page()
        page.on("console", lambda message: _is_expected(message) or errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(20_000)
        page.goto(url)
        yield page
    assert errors == []


def classify(page, title, description=""):
    """Fills in the form, submits it and waits for the result."""
    page.get_by_label("Title").fill(title)
    page.get_by_label("Description").fill(description)
    with page.expect_navigation(wait_until="load"):
        page.get_by_role("button", name="Classify").click()
    page.locator("#verdict").wait_for()


def _is_expected(message):
    return "status of 422" in message.text


def test_classifying_an_item_shows_its_class_and_words(page):
    classify(page, "oil and goal", "oil\nrises <b>")
    assert page.locator("#verdict").inner_text() == "Business with probability 85.3 %"
    assert page.title() == "Business · Text classifier"
    assert page.locator("p.text mark.for").all_inner_texts() == ["oil", "oil"]
    assert page.locator("p.text mark.against").all_inner_texts() == ["goal"]
    assert page.locator("p.text.description").inner_text() == "oil\nrises <b>"
    # The form keeps the text.
    assert page.get_by_label("Description").input_value() == "oil\nrises <b>"


def test_bars_have_the_length_of_the_probabilities(page):
    classify(page, "oil oil")
    widths = [bar.bounding_box()["width"] for bar in page.locator(".bars rect").all()]
    whole = page.locator(".bars svg").first.bounding_box()["width"]
    assert [round(width / whole, 2) for width in widths] == [0.02, 0.02, 0.95, 0.02]


def test_the_form_works_with_the_keyboard(page):
    page.keyboard.press("Tab")
    page.keyboard.type("goal for united")
    page.keyboard.press("Enter")
    page.locator("#verdict").wait_for()
    assert page.locator("#verdict").inner_text().startswith("Sports")


def test_text_has_enough_contrast(page):
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1 for text, marked words included."""
    classify(page, "oil and goal")
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 10
    assert [entry for entry in ratios if entry[1] < 4.5] == []


def test_the_page_fits_on_a_phone(page):
    page.set_viewport_size({"width": 320, "height": 600})
    classify(page, "oil " + "w" * 200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_model_card_opens(page, tmp_path):
    (tmp_path / "2.html").write_text("<title>Card</title><h1>Version 2</h1>")
    classify(page, "oil prices")
    page.get_by_role("link", name="Model card").click()
    assert page.get_by_role("heading").inner_text() == "Version 2"


def test_an_error_is_announced(page):
    page.get_by_role("button", name="Classify").click()
    assert "empty" in page.get_by_role("alert").inner_text()
