"""What is said at the end of a run about what it judged, and why it judged nothing."""

from __future__ import annotations

import pytest

from pytest_fib.data.files import shown
from pytest_fib.data.text import escape
from pytest_fib.named import same_name_line
from pytest_fib.session import FibSession

_QUIET_ENDS = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def closing_lines(fib: FibSession, exitstatus: int) -> list[str]:
    """Which file is which where solutions share a name, and why nothing was judged, where that is so."""
    same_name = same_name_line(fib.solutions) if fib.tally.offered or fib.tally.reported else None
    return [*([same_name] if same_name else []), *_nothing_judged(fib, exitstatus)]


def _nothing_judged(fib: FibSession, exitstatus: int) -> list[str]:
    wanted = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED or fib.settings.solutions_from_flag
    listed = fib.tally.offered > 0 and fib.config.option.collectonly
    if fib.tally.reported or listed or not wanted or exitstatus not in _QUIET_ENDS:
        return []
    return [f"fib: no workload was judged: {_why_nothing(fib)}"]


def _why_nothing(fib: FibSession) -> str:
    names = ", ".join(escape(name, 120) for name in fib.by_definition)
    if not fib.by_definition:
        return "the ini option fib_solutions finds no usable solution"
    if fib.tally.offered:
        return f"all {fib.tally.offered} were deselected"
    if not fib.workload_files():
        roots = ", ".join(shown(traceset.root) for traceset in fib.tracesets)
        return f"{roots} has no workload file for {names}; name another dataset with --fib-traceset=DIR"
    if fib.explicit_paths:
        return f"the paths given hold none of {names}"
    return f"the workload files of {names} are empty"
