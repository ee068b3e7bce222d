"""Every setting and option that names a place, with values that are no such place: commands that need TensorFlow."""

import pytest

from tests.support.hostile_places import (
    OPTIONS,
    SETTINGS,
    VALUES,
    faults,
    imports_tensorflow,
    make_places,
    option_lines,
    setting_lines,
)

LINES = {
    name: [line for value in VALUES for line in lines_of(name, value) if imports_tensorflow(line)]
    for names, lines_of in ((SETTINGS, setting_lines), (OPTIONS, option_lines))
    for name in names
}


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Imports what the commands need, since an interrupted import leaves modules in pieces."""
    from tests.support import warm_imports  # noqa: F401


@pytest.mark.parametrize("place", [name for name, lines in LINES.items() if lines])
def test_no_place_gives_a_trace_or_an_endless_read(tmp_path, place):
    make_places(tmp_path)
    assert not faults(LINES[place])
