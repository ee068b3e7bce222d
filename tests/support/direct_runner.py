"""Beam's direct runner with a run's own options; without any, Beam would fetch another runner where it can."""

from pipeline.beam.options import beam_arguments
from pipeline.settings import BeamSettings


def options():
    return beam_arguments(BeamSettings())
