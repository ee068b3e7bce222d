"""A news item to be classified, and a model's answer."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class NewsItem:
    """Title and description, either of which may be empty.

    A plain text goes to the title: the network that reads titles alone sees it there too, and the others read the
    title first and the description after it.
    """

    title: str = ""
    description: str = ""

    def flaw(self) -> str | None:
        """Why the item cannot be classified, or None: both texts are blank, or one cannot be written as UTF-8."""
        for name, text in (("title", self.title), ("description", self.description)):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                return f"{name}, character {error.start + 1}: not valid Unicode text"
        if not (self.title.strip() or self.description.strip()):
            return "title and description are empty"
        return None


@dataclass(frozen=True)
class Classification:
    """The served model's answer for one item.

    Attributes:
        label: name of the likeliest class.
        probability: of `label`.
        probabilities: of all classes by name, in the model's order.
        model_version: of the version that answered.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    model_version: int

    @classmethod
    def of(cls, names: Sequence[str], probabilities: Sequence[float], model_version: int) -> "Classification":
        """The answer that a model's outputs for one item make: `probabilities` in the order of `names`."""
        by_name = dict(zip(names, probabilities, strict=True))
        label = max(by_name, key=by_name.__getitem__)
        return cls(label, by_name[label], by_name, model_version)
