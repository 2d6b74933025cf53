"""How much of a run was judged."""

from __future__ import annotations

import pytest


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
