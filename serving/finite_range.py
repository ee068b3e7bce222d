"""The type of command-line options that are numbers in a range."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """Accepts finite numbers in a range; `click.FloatRange` lets nan pass, which is neither below nor above a limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number
