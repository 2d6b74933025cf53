"""The gate over all workloads of a solution, as an item of its own at the end of the run."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_fib.data.text import slug
from pytest_fib.report.record import Record
from pytest_fib.report.reporter import RunReporter

if TYPE_CHECKING:
    from pytest_fib.report.gate import SuiteVerdict


class SuiteGate:
    """Fails the run where a solution is slower over all its workloads, though perhaps on none of them for certain."""

    def __init__(self, config: pytest.Config, reporter: RunReporter) -> None:
        self._config = config
        self._reporter = reporter

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Report after the last item: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtestloop"""
        result = yield
        records = self._reporter.records
        for verdict in _verdicts(records) if records else ():
            if verdict.fails:
                session.testscollected += 1
                self._report(verdict)
        return result

    def _report(self, verdict: SuiteVerdict) -> None:
        nodeid = f"fib/gate::{slug(verdict.definition)}::{slug(verdict.solution)}"
        report = pytest.TestReport(
            nodeid=nodeid,
            location=("fib/gate", None, nodeid.partition("::")[2]),
            keywords={},
            outcome="failed",
            longrepr=verdict.text,
            when="call",
            user_properties=[("verdict", verdict.finding.verdict), ("ratio", verdict.finding.ratio)],
        )
        # There is no such item to run again.
        manager = self._config.pluginmanager
        forgetful = [plugin for plugin in map(manager.get_plugin, ("lfplugin", "stepwiseplugin")) if plugin]
        manager.subset_hook_caller("pytest_runtest_logreport", forgetful)(report=report)


def _verdicts(records: list[Record]) -> list[SuiteVerdict]:
    from pytest_fib.report import gate

    return gate.suite_verdicts(records)
