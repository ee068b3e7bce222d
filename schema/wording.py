"""Words in messages that depend on a value."""


def amount(count: float, noun: str, plural: str = "") -> str:
    """Writes a count with its noun: "1 row", "1,200 rows", "1.5 hours".

    Args:
        count: the count.
        noun: the noun in the singular, with any adjectives.
        plural: the plural, if it is not the noun with an "s".
    """
    return f"{count:,.15g} {noun if count == 1 else plural or f'{noun}s'}"
