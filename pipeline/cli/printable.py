"""Removes control characters from untrusted text before printing it."""


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Replaces control characters, which could move the terminal's cursor and so hide other lines.

    Args:
        text: untrusted text, for instance a reason or a name.
        instead: replacement of each character that cannot be printed, including line breaks and undecodable bytes.
    """
    return "".join(sign if sign.isprintable() else instead for sign in text)
