"""A small web page for people: paste a news item, see its class, the probabilities and the words that mattered."""

from serving.demo.app import Demo, make_app

__all__ = ["Demo", "make_app"]
