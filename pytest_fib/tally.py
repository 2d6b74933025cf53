"""How much of a run was judged, and why nothing was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fib.data.files import shown
from pytest_fib.data.text import escape
from pytest_fib.named import same_name_line

if TYPE_CHECKING:
    from pytest_fib.session import FibSession


_QUIET_ENDS = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Tally:
    """How many workloads were offered and reported, and how many of these were judged and not skipped.

    ``offered`` counts workloads times solutions that were collected in this process.
    """

    def __init__(self) -> None:
        self.offered = 0
        self.reported = 0
        self.judged = 0

    def count(self, report: pytest.TestReport) -> None:
        """Take a phase of an item into account."""
        if "fib" in report.keywords and (report.when == "call" or not report.passed):
            self.reported += 1
            self.judged += not report.skipped

    def exit_status(self, status: int) -> int:
        """A green status becomes "nothing collected" when every workload was skipped."""
        nothing_judged = self.reported > 0 and self.judged == 0
        return (
            pytest.ExitCode.NO_TESTS_COLLECTED if status == pytest.ExitCode.OK and nothing_judged else status
        )


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
