"""Tests the stored predictions for the test rows, which do not include the texts."""

from dataclasses import replace

import numpy as np

from components.model_card.predictions import read_predictions, write_predictions


def test_predictions_are_those_that_the_cards_figures_rest_on(predictions, card, run):
    assert predictions.ids.tolist() == [row["id"] for row in run.rows]
    assert predictions.buckets.tolist() == [row["length_bucket"] for row in run.rows]
    right = predictions.answers == predictions.labels
    assert right.mean() == card.quality.repeated_accuracy
    [surest, *_] = card.errors
    [row] = [row for row, id in enumerate(predictions.ids) if id == surest.id]
    assert (predictions.labels[row], predictions.answers[row]) == (surest.true_class, surest.answer)
    assert abs(predictions.probabilities[row] - surest.probability) < 1e-6


def test_what_is_written_is_read_and_holds_no_text(predictions, run, tmp_path):
    write_predictions(predictions, str(tmp_path))
    read = read_predictions(str(tmp_path))
    for name in ("ids", "labels", "buckets", "answers", "probabilities"):
        assert (getattr(read, name) == getattr(predictions, name)).all()
    [file] = tmp_path.iterdir()
    assert not any(row["title"].encode() in file.read_bytes() for row in run.rows)


def test_columns_of_the_data_set_are_stored(predictions, tmp_path):
    kanal = np.array(["web"] * len(predictions.ids), object)
    write_predictions(replace(predictions, columns={"kanal": kanal}), str(tmp_path))
    assert read_predictions(str(tmp_path)).columns["kanal"].tolist() == kanal.tolist()
