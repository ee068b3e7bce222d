import numpy as np
import tensorflow as tf

from components.trainer.input_pipeline import list_matching_files, read_rows


def write(path, rows):
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for ids, label in rows:
            features = {
                "token_ids": tf.train.Feature(int64_list=tf.train.Int64List(value=ids)),
                "title_tokens": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_examples_of_all_files_are_read(tmp_path):
    write(tmp_path / "b-1.gz", [([9], 3)])
    write(tmp_path / "b-0.gz", [([5, 6, 7], 1), ([8], 2)])
    rows = read_rows([str(tmp_path / "b-*")])
    assert rows.token_ids.tolist() == [5, 6, 7, 8, 9]
    assert rows.token_counts.tolist() == [3, 1, 1]
    assert rows.labels.tolist() == [1, 2, 3]


def test_the_order_of_the_files_does_not_matter(tmp_path):
    items = [([number, number % 7, 300 + number][: 1 + number % 3], number % 4) for number in range(2, 60)]
    write(tmp_path / "a.gz", items)
    write(tmp_path / "b.gz", items[::-1])
    one, other = (read_rows([str(tmp_path / name)]) for name in ("a.gz", "b.gz"))
    for name in ("token_ids", "offsets", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    read = [(one.token_ids[one.offsets[i] : one.offsets[i + 1]].tolist(), one.labels[i]) for i in range(len(one))]
    assert sorted(read) == sorted(items)


def test_no_files_give_no_rows(tmp_path):
    assert len(read_rows([str(tmp_path / "nothing-*")])) == 0


def test_hidden_files_in_a_split_are_not_read(tmp_path):
    for name in ("a.gz", ".DS_Store", "._a.gz", "_SUCCESS"):
        (tmp_path / name).write_bytes(b"")
    assert list_matching_files([f"{tmp_path}/*"]) == [f"{tmp_path}/a.gz"]
