"""The texts of the tiny model."""

TEXTS = [
    ("ministers meet", "the vote was close"),
    ("goal wins cup", "the match was close"),
    ("oil prices rise", "the market was calm"),
    ("new chip ships", "the software was calm"),
]
"""One text per class. They contain all words of the vocabulary."""
