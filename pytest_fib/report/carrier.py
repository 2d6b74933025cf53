"""How an item's records reach the process that reports."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import pytest

from pytest_fib.report.official import TRACE_LOG_LIMIT
from pytest_fib.report.plain import valid_text
from pytest_fib.report.record import RECORD_KEY, SKIP_KEY, Record
from pytest_fib.report.recording import make_skip

REPORT_ATTRIBUTE = "fib"
"""The attribute of a pytest report that carries an item's records to the controller."""


def records_of(report: pytest.TestReport) -> list[Record]:
    """Return the records that travel on a report; empty for a report of another item or phase."""
    carried: Mapping[str, list[Record]] = getattr(report, REPORT_ATTRIBUTE, {})
    return carried.get("records", [])


class RecordCarrier:
    """Puts an item's records on its report, in the process that runs the item (under xdist a worker)."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the records: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtest_makereport"""
        report = yield
        if report.when == "call":
            records = item.stash.get(RECORD_KEY, [])
            if report.failed:
                _keep_failure(records, report.longreprtext)
            _attach(report, records)
        if report.skipped and not records_of(report):
            _attach(report, _skip_records(item, report))
        if report.skipped and SKIP_KEY in item.stash:
            # At the same place, and in the same words, pytest's summary counts the workloads of a file in one line.
            report.longrepr = (str(item.path), 1, f"Skipped: {item.stash[SKIP_KEY]}")
        return report


def _keep_failure(records: list[Record], text: str) -> None:
    for record in records:
        if record["measurement"] is not None:
            record["measurement"]["failure"] = valid_text(text[:TRACE_LOG_LIMIT])


def _attach(report: pytest.TestReport, records: list[Record]) -> None:
    if records:
        setattr(report, REPORT_ATTRIBUTE, {"records": list(records)})


def _skip_records(item: pytest.Item, report: pytest.TestReport) -> list[Record]:
    """The record of a ``fib`` item that skipped itself; its reason is the last part of the report's location."""
    mark = item.get_closest_marker("fib")
    if mark is None:
        return []
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return [make_skip(mark.kwargs, item.nodeid, reason.removeprefix("Skipped: "))]
