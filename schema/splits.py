"""Names of the splits, in a module that imports nothing, so that a training needs only TensorFlow."""

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
"""A hash of the id splits the training rows into train and val; test is the official test set."""
