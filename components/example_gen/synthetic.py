"""Writes the synthetic sample: news-like rows from a small seeded grammar, for machines without data or network.

A row has most of its words from lists that all topics share, some from its own topic's list and some from another
topic's list, so that no single word determines the class. The sample shows that a pipeline works; results on it say
nothing about AG News.
"""

import csv
import os
import random
import shutil
import tempfile
from pathlib import Path

from schema.features import CLASS_NAMES

_TOPIC_NOUNS = {
    "World": "minister border embassy treaty refugees ceasefire parliament election militia diplomat hostage province",
    "Sports": "striker inning playoff coach stadium goalkeeper medal tournament pitcher quarterback referee sprint",
    "Business": "shares profit merger dividend retailer investors earnings lender tariff inflation broker currency",
    "Sci/Tech": "browser satellite software chip genome spacecraft server laptop virus telescope network robot",
}
_TOPIC_VERBS = {
    "World": "negotiated condemned evacuated ratified mediated patrolled",
    "Sports": "scored defended trained sprinted qualified tackled",
    "Business": "acquired traded refinanced audited invested hedged",
    "Sci/Tech": "encoded launched patched measured simulated downloaded",
}
_SHARED_NOUNS = [
    "team",
    "deal",
    "plan",
    "record",
    "leader",
    "group",
    "market",
    "report",
    "season",
    "talks",
    "game",
    "union",
    "court",
    "launch",
    "loss",
    "rival",
    "city",
    "fans",
    "power",
    "title",
    "board",
    "race",
    "strike",
    "bid",
    "growth",
    "field",
    "goal",
    "defense",
    "contract",
    "star",
    "window",
    "cup",
    "fund",
    "match",
    "state",
    "signal",
]
_SHARED_VERBS = [
    "announced",
    "won",
    "lost",
    "opened",
    "closed",
    "beat",
    "raised",
    "cut",
    "joined",
    "faced",
    "warned",
    "delayed",
    "signed",
    "led",
    "ended",
]
_PLACES = ["Oslo", "Lima", "Cairo", "Osaka", "Quebec", "Lisbon", "Nairobi", "Perth", "Riga", "Tampa"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_LINKS = ["after a", "before the", "despite the", "while the", "as a", "because of the"]
_ADJECTIVES = ["new", "early", "late", "strong", "weak", "final", "major", "second", "quiet", "global"]
# Shares of the words from the row's own topic and from another topic; all topics share the other words.
_OWN, _OTHER = 0.30, 0.10


def write_synthetic(directory: Path, *, train_rows: int, test_rows: int, seed: int) -> None:
    """Writes train.csv and test.csv in the official format. The directory appears when both are complete.

    Args:
        directory: directory to create; an existing one stays unchanged.
        train_rows: number of rows in train.csv.
        test_rows: number of rows in test.csv.
        seed: seed of the rows; the same seed gives the same rows.
    """
    if directory.exists():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=directory.parent))
    generator = random.Random(seed)
    try:
        for name, rows in (("train.csv", train_rows), ("test.csv", test_rows)):
            with open(incoming / name, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
                for index in range(rows):
                    label = index % len(CLASS_NAMES)
                    writer.writerow([label + 1, *_item(generator, CLASS_NAMES[label])])
        incoming.chmod(0o755)
        os.replace(incoming, directory)
    except OSError:
        # Another run created the directory first; its rows are the same.
        if not directory.exists():
            raise
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _item(generator: random.Random, topic: str) -> tuple[str, str]:
    choose = generator.choice

    def word(by_topic: dict[str, str], shared: list[str]) -> str:
        draw = generator.random()
        if draw < _OWN:
            return choose(by_topic[topic].split())
        if draw < _OWN + _OTHER:
            return choose(by_topic[choose(CLASS_NAMES)].split())
        return choose(shared)

    def noun() -> str:
        return word(_TOPIC_NOUNS, _SHARED_NOUNS)

    def clause() -> str:
        return f"the {choose(_ADJECTIVES)} {noun()} {word(_TOPIC_VERBS, _SHARED_VERBS)} {choose(_LINKS)} {noun()}"

    title = f"{choose(_ADJECTIVES)} {noun()} {word(_TOPIC_VERBS, _SHARED_VERBS)} {noun()}".capitalize()
    # One row in eight has the corpus' markup, so that the sample exercises the cleaning.
    possessive = " #39;s" if generator.random() < 0.125 else "'s"
    sentences = [clause() for _ in range(generator.randint(1, 6))]
    opening = f"{choose(_PLACES).upper()} - On {choose(_DAYS)} the {noun()}{possessive} {noun()}"
    return title, f"{opening}: {'. '.join(sentence.capitalize() for sentence in sentences)}."
