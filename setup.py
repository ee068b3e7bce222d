"""Lets tools that do not read pyproject.toml install the package; everything about it is declared there."""

from setuptools import setup

setup()
