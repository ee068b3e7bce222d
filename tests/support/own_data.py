"""Small data sets other than AG News, as files in the forms that people have them in."""

import csv
import json
import random

TICKETS = {
    "Rechnung": "Betrag Mahnung Lastschrift Konto Gutschrift überwiesen Steuer Zahlung Beleg Skonto",
    "Störung": "Ausfall Fehler Server abgestürzt langsam Verbindung Meldung Gerät kaputt Update",
    "Kündigung": "kündigen Vertrag beenden Frist Laufzeit Bestätigung Ende auflösen Widerruf Anbieter",
}
"""Words of German support tickets by class."""
_COMMON = ["bitte", "ich", "wir", "der", "die", "das", "mit", "seit", "heute", "und", "für", "Ihnen", "eine"]


def write_tickets(path, rows=600, seed=1, separator=";"):
    """Writes German tickets with three classes and one text column, with a byte order mark as spreadsheets do."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["Nummer", "Text", "Kategorie"])
        for number, (text, name) in enumerate(make_texts(TICKETS, rows, seed, _COMMON)):
            writer.writerow([number, text, name])


def make_texts(words, rows, seed=1, common=(), separator=" "):
    """Returns texts with their classes: words of the class, and common ones."""
    generator = random.Random(seed)
    for index in range(rows):
        name = list(words)[index % len(words)]
        own = words[name].split()
        length = generator.randint(4, 20)
        chosen = [generator.choice(own if generator.random() < 0.4 else common or own) for _ in range(length)]
        yield separator.join(chosen), name


def write_json_lines(path, words, rows, seed=1, separator=" "):
    """Writes objects with the keys text and label."""
    lines = ({"text": text, "label": name} for text, name in make_texts(words, rows, seed, separator=separator))
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
