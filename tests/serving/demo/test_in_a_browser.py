"""The page in Chromium: what a person sees and can do."""

import shutil

import pytest

from serving.demo import MODEL_CARD

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
# As root it has no sandbox; the rest keeps it from asking the network.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(params=["light", "dark"])
def page(browser, serve_page, request):
    """A page in each colour scheme, that complains about nothing in its console."""
    complaints = []
    with (
        serve_page() as url,
        browser.new_context(color_scheme=request.param, viewport={"width": 900, "height": 700}) as context,
    ):
        page = context.new_page()
        page.on("console", lambda message: _is_answer(message) or complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_default_timeout(20_000)
        page.goto(url)
        yield page
    assert complaints == []


def _is_answer(message):
    return "status of 422" in message.text


def test_pasting_an_item_shows_its_class_and_the_words(page):
    page.get_by_label("Title").fill("oil and goal")
    page.get_by_label("Description").fill("oil\nrises <b>")
    page.get_by_role("button", name="Classify").click()
    assert page.locator("#verdict").inner_text() == "Business with probability 85.3 %"
    assert page.title() == "Business · AG News classifier"
    assert page.locator("p.text mark.for").all_inner_texts() == ["oil", "oil"]
    assert page.locator("p.text mark.against").all_inner_texts() == ["goal"]
    assert page.locator("p.text.description").inner_text() == "oil\nrises <b>"
    # What was pasted stays in the form.
    assert page.get_by_label("Description").input_value() == "oil\nrises <b>"


def test_bars_are_as_long_as_the_probabilities(page):
    page.get_by_label("Title").fill("oil oil")
    page.get_by_role("button", name="Classify").click()
    widths = [bar.bounding_box()["width"] for bar in page.locator(".bars rect").all()]
    whole = page.locator(".bars svg").first.bounding_box()["width"]
    assert [round(width / whole, 2) for width in widths] == [0.02, 0.02, 0.95, 0.02]


def test_the_keyboard_is_enough(page):
    page.keyboard.press("Tab")
    page.keyboard.type("goal for united")
    page.keyboard.press("Enter")
    page.locator("#verdict").wait_for()
    assert page.locator("#verdict").inner_text().startswith("Sports")


def test_text_stands_out_from_what_is_behind_it(page):
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1 for text, marked words included."""
    page.get_by_label("Title").fill("oil and goal")
    page.get_by_role("button", name="Classify").click()
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 10
    assert [entry for entry in ratios if entry[1] < 4.5] == []


def test_it_fits_on_a_telephone(page):
    page.set_viewport_size({"width": 320, "height": 600})
    page.get_by_label("Title").fill("oil " + "w" * 200)
    page.get_by_role("button", name="Classify").click()
    page.locator("#verdict").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_model_card_opens_where_there_is_one(page, tmp_path):
    card = tmp_path / "2" / MODEL_CARD
    card.parent.mkdir(parents=True)
    card.write_text("<title>Card</title><h1>Version 2</h1>")
    page.get_by_label("Title").fill("oil prices")
    page.get_by_role("button", name="Classify").click()
    page.get_by_role("link", name="Model card").click()
    assert page.get_by_role("heading").inner_text() == "Version 2"


def test_an_error_is_announced(page):
    page.get_by_role("button", name="Classify").click()
    assert "empty" in page.get_by_role("alert").inner_text()


CONTRAST = """() => {
  const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const paint = colours => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(element);
    const [a, b] = [paint(behind), paint([...behind, style.color])].map(luminance).sort((x, y) => y - x);
    found.push([element.tagName + " " + element.textContent.trim().slice(0, 30), (a + 0.05) / (b + 0.05)]);
  }
  return found;
}"""
