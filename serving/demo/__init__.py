"""A small web page for people: paste a news item, see its class, the probabilities and the words that mattered."""

from serving.demo.app import MODEL_CARD, Demo, make_app

__all__ = ["MODEL_CARD", "Demo", "make_app"]
