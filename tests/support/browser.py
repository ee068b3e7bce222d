"""Chromium for tests of pages, and what they ask of a page."""

import contextlib
import itertools
import shutil

from tests.support import skip_without_tool

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "Chromium is not installed: apt install chromium (Debian, Ubuntu), or put chromium on the PATH"
# As root it has no sandbox; the rest keeps it from asking the network.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@contextlib.contextmanager
def launched():
    """A running browser. Skips the test if none is installed."""
    if CHROMIUM is None:
        skip_without_tool(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


# Returns each element with text, and its contrast with the background.
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


# The rules of WCAG 2.2 AA and axe's own advice; and those whose outcome depends on colours.
_ALL_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_COLOUR_RULES = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def axe_problems(page):
    """Returns what axe finds on a page in three widths, with the width and the scheme; in dark, its colours alone."""
    from axe_playwright_python.base import AXE_SCRIPT

    page.evaluate(AXE_SCRIPT)
    problems = []
    schemes = (("light", _ALL_RULES), ("dark", _COLOUR_RULES))
    for width, (scheme, rules) in itertools.product((1280, 768, 390), schemes):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("options => axe.run(options)", rules | {"resultTypes": ["violations"]})["violations"]
        problems += [f"{width} {scheme} {one['id']}: {node['html']}" for one in found for node in one["nodes"]]
    return problems
