"""Reads a review site page by page, as a person does who follows its links, for a comparison with another site."""

import html
import re
from collections import defaultdict

# Links with these queries lead to other pages; those with others, for instance ?sort=, show the same rows again.
_QUERY = re.compile(r"\?(first|way|split)=")
_LINE_END = re.compile(r"</(?:caption|dd|desc|dt|h\d|li|option|p|pre|text|title|tr)>|<br>")
_LINKED_ID = re.compile(r'(href="/(?:lineage|models|runs)/)(\d+)([^"]*"[^>]*>[^<]*?)\b\2\b')
# The second line of a box in a graph of artifacts.
_BOX_ID = re.compile(r"(<text[^>]*>)\d+(?=<|, (?:span|version) )")
_TYPE = "Examples|Schema|[A-Z][a-z]+[A-Z]\\w+|agnews[.]\\w+|Model|[Aa]rtifact|Ingestion|model"
# Patterns and what replaces them, in this order.
_OWN = {
    re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?( UTC|\+00:00|Z)?"): "TIME",
    re.compile(r"\b\d+(\.\d+)? (s|min|h|ms)\b( \d+ s\b)?"): "DURATION",
    re.compile(r"\b1\d{9}\b"): "VERSION",
    re.compile(rf"\b({_TYPE}) \d+\b(?![.,]\d)"): r"\1 ID",
    re.compile(r"\b(Models) \d+ (and|to) \d+\b"): r"\1 ID \2 ID",
    re.compile(r"\b(\w+_id) \d+\b"): r"\1 ID",
    # Directories of executions, and digests of files that contain times.
    re.compile(r"(/runs/\S*?/)\d+\b(?!-)"): r"\1ID",
    re.compile(r'\b(audit |(?:fingerprint|saved_model)\.pb": ")[0-9a-f]{64}\b'): r"\1DIGEST",
    # Times and rates in model cards, and the last two columns of an epoch.
    re.compile(r"^(milliseconds for one text|seconds(?: to load)?|texts a second, in batches) .*"): r"\1 MEASURED",
    re.compile(r"^(\d+(?: \(kept\))?(?: [\d.]+){5}) [\d.]+ [\d.]+$"): r"\1 MEASURED",
}


def read_pages(client, texts):
    """Returns the text of all pages by address, without what differs between two sites with the same runs.

    Args:
        client: HTTP client of the site.
        texts: names by the texts that they replace, for instance of directories and runs.

    Returns:
        For each address with ID in place of numbers, the lines of each of its pages. Pages and lines are sorted, since
        components that do not wait for each other run in any order.
    """
    pages = defaultdict(list)
    waiting, known = ["/"], {"/"}
    while waiting:
        address = waiting.pop()
        response = client.get(address, follow_redirects=True)
        assert response.status_code == 200, f"{address}: {response.text}"
        if not response.headers["content-type"].startswith("text/html"):
            continue
        pages[re.sub(r"(?<=[/=])\d+\b(?!-)", "ID", address)].append(_lines(response.text, texts))
        for link in map(html.unescape, re.findall(r'href="(/[^"#]*)', response.text)):
            # Only `agnews run` writes a log next to its outputs.
            if link.endswith("/log"):
                continue
            if link not in known and ("?" not in link or _QUERY.search(link)):
                known.add(link)
                waiting.append(link)
    return {address: sorted(found) for address, found in sorted(pages.items())}


def _lines(page, texts):
    page = re.sub(r"(?s)^.*?<body[^>]*>|<style.*?</style>|\n", " ", page)
    page = _BOX_ID.sub(r"\1ID", _LINKED_ID.sub(r"\1\2\3ID", page))
    page = html.unescape(re.sub(r"<[^>]*>", " ", _LINE_END.sub("\n", page)))
    lines = (" ".join(line.split()) for line in page.splitlines())
    return sorted(_without_own(line, texts) for line in lines if line and line != "log end of the log")


def _without_own(line, texts):
    for text in sorted(texts, key=len, reverse=True):
        line = line.replace(text, texts[text])
    for pattern, name in _OWN.items():
        line = pattern.sub(name, line)
    return line
