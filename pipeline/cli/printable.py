"""Texts that others wrote, on a terminal: none may steer it."""


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """The text without control characters, which could move a reader's cursor and so hide other lines.

    Args:
        text: whatever somebody gave, as a reason or a name.
        instead: what stands for each sign that cannot be printed, line breaks and bytes that are no text among them.
    """
    return "".join(sign if sign.isprintable() else instead for sign in text)
