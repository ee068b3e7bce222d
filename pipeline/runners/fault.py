"""The one line of an exception's text that says what happened."""

_BEAMS_PLACE = " [while running '"


def what_failed(error: Exception) -> str:
    """What happened, without the traces that libraries put into their messages.

    TensorFlow puts the path to the fault first and the fault itself last; a database points at it with a caret below.
    Flink and Spark wrap the trace of Beam's Python worker, whose last line names Beam's step, into traces of Java.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
    of_workers = [line.partition(_BEAMS_PLACE)[0] for line in lines if _BEAMS_PLACE in line]
    return (of_workers or lines or ["no message"])[-1]
