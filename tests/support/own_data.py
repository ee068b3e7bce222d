"""Small data sets other than AG News, as files in the forms that people have them in."""

import csv
import json
import random
import shlex
import subprocess
import sys

TICKETS = {
    "Rechnung": "Betrag Mahnung Lastschrift Konto Gutschrift überwiesen Steuer Zahlung Beleg Skonto",
    "Störung": "Ausfall Fehler Server abgestürzt langsam Verbindung Meldung Gerät kaputt Update",
    "Kündigung": "kündigen Vertrag beenden Frist Laufzeit Bestätigung Ende auflösen Widerruf Anbieter",
}
"""Words of German support tickets by class."""
# Ten words for each of 14 classes, as in DBpedia.
FOURTEEN = {f"Class {index:02}": " ".join(f"word{index}x{n}" for n in range(10)) for index in range(14)}
TWO = {"negative": "awful boring bad waste poor dull worst", "positive": "great superb good lovely fine rich best"}
ARABIC = {"رياضة": "كرة هدف فريق لاعب مباراة ملعب", "اقتصاد": "سوق سعر بنك نفط مال تجارة"}
CHINESE = {"体育": "球队 比赛 进球 冠军 教练", "财经": "股市 银行 价格 石油 贸易"}
_COMMON = ["bitte", "ich", "wir", "der", "die", "das", "mit", "seit", "heute", "und", "für", "Ihnen", "eine"]


def write_tickets(path, rows=600, seed=1, separator=";"):
    """Writes German tickets with three classes and one text column, with a byte order mark as spreadsheets do."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["Nummer", "Text", "Kategorie", "Kanal"])
        for number, (text, name) in enumerate(make_texts(TICKETS, rows, seed, _COMMON)):
            writer.writerow([number, text, name, ("E-Mail", "Telefon")[number % 2]])


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


# The network is small, so that a run is quick.
SMALL = "trainer.epochs=4 trainer.units=8 trainer.embedding_dim=16 trainer.batch_tokens=400 trainer.learning_rate=0.01"


class Shell:
    """Runs `agnews` commands in the directories that they change to; runs train a small network."""

    def __init__(self, directory, environment):
        self.directory, self.environment = directory, environment

    def run(self, line, *settings):
        """Runs a command line and returns its output; a run also gets the settings."""
        if line.startswith("cd "):
            self.directory /= line.removeprefix("cd ")
            return ""
        words = shlex.split(line)[1:]
        if words[0] == "run":
            words += [word for setting in (*SMALL.split(), *settings) for word in ("--set", setting)]
        command = [sys.executable, "-m", "pipeline", *words]
        done = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def write_tfds(path, *items):
    """Writes titles, descriptions and labels as TensorFlow Datasets does; returns the path as a string."""
    import tensorflow as tf

    def text(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for title, description, label in items:
            number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
            features = {"title": text(title), "description": text(description), "label": number}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return str(path)
