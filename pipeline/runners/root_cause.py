"""Finds the line of an exception's text that describes the root cause."""

_BEAMS_PLACE = " [while running '"


def root_cause_line(error: Exception) -> str:
    """Returns the root cause of an error, without the stack traces that libraries put into their messages.

    TensorFlow writes the call path first and the cause last; a database adds a line with a caret below the cause. Flink
    and Spark wrap the trace of Beam's Python worker, whose last line contains Beam's step, in Java stack traces.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
    of_workers = [line.partition(_BEAMS_PLACE)[0] for line in lines if _BEAMS_PLACE in line]
    return (of_workers or lines or ["no message"])[-1]
