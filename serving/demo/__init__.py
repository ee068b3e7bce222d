"""A web page that classifies a text and shows the class, the probabilities and the influence of each word."""

from serving.demo.app import Demo, make_app

__all__ = ["Demo", "make_app"]
