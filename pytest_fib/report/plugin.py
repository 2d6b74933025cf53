"""The part of the plugin that reports. Items are recorded where they run; everything else is the controller's."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_fib.bridge import benchmark
from pytest_fib.bridge.xdist import is_worker
from pytest_fib.data.layers import missing_layers
from pytest_fib.data.text import escape, slug
from pytest_fib.errors import SettingsError
from pytest_fib.report import gate, terminal
from pytest_fib.report.document import build_document, check_target, jsonable, write_document, write_text
from pytest_fib.report.environment import describe_run
from pytest_fib.report.github import GithubSurface, on_github
from pytest_fib.report.progress import ProgressLine, wants_progress
from pytest_fib.report.reading import Run, read_run
from pytest_fib.report.record import RECORD_KEY, TRACE_LOG_LIMIT, Record, make_skip, nodeid_of
from pytest_fib.report.traces import append_trace

REPORT_ATTRIBUTE = "fib"
"""The attribute of a pytest report that carries an item's records to the controller."""

CARRIER_NAME = "fib-record-carrier"
REPORTER_NAME = "fib-reporter"
PROGRESS_NAME = "fib-progress"
GITHUB_NAME = "fib-github"
SUITE_NAME = "fib-suite-gate"


class ReportSettings(Protocol):
    """What reporting needs to know of the run's settings."""

    @property
    def report(self) -> Path | None:
        """The JSON document to write."""

    @property
    def traces(self) -> Path | None:
        """The folder below which official traces are appended."""

    @property
    def html(self) -> Path | None:
        """The page to write."""

    @property
    def aa(self) -> bool:
        """Whether each solution is its own baseline."""

    def resolved(self) -> dict[str, Any]:
        """Every setting as JSON can hold it."""


class ReportPlugin:
    """Registers what this process needs: recording where items run, reporting where no controller is above."""

    def __init__(self, settings: ReportSettings, *, timer: str = "judge") -> None:
        self._settings = settings
        self._timer = timer

    def pytest_configure(self, config: pytest.Config) -> None:
        """Also called when registered later: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_configure"""
        benchmark.register(config)
        config.pluginmanager.register(RecordCarrier(), CARRIER_NAME)
        if is_worker(config):
            return
        for flag, path in (("--fib-report", self._settings.report), ("--fib-html", self._settings.html)):
            if path is not None:
                _check_target(path, flag)
        reporter = RunReporter(config, self._settings, self._timer)
        config.pluginmanager.register(reporter, REPORTER_NAME)
        config.pluginmanager.register(SuiteGate(config, reporter), SUITE_NAME)
        if on_github(os.environ):
            surface = GithubSurface(lambda: _outline(reporter.records), os.environ)
            config.pluginmanager.register(surface, GITHUB_NAME)
        if wants_progress(sys.stdout, config.getoption("verbose")):
            line = ProgressLine(sys.stdout, config.get_terminal_writer)
            config.pluginmanager.register(line, PROGRESS_NAME)


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
        return report


class RunReporter:
    """Collects the records of all processes and writes traces, document, table and summary."""

    def __init__(self, config: pytest.Config, settings: ReportSettings, timer: str) -> None:
        self._config = config
        self._settings = settings
        self._timer = timer
        self._found: list[Record] = []
        self._order: dict[str, int] = {}
        self._problems: list[str] = []

    @property
    def records(self) -> list[Record]:
        """The records of every item that has finished so far, in the order of collection."""
        last = len(self._order)
        return sorted(self._found, key=lambda record: self._order.get(nodeid_of(record), last))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the order of the items: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_collection_finish"""
        self._order = {item.nodeid: index for index, item in enumerate(session.items)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Keep the order in which the workers, all alike, collected the items."""
        self._order = {nodeid: index for index, nodeid in enumerate(ids)}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the records and append their traces: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtest_logreport"""
        for record in records_of(report):
            self._found.append(record)
            self._append_trace(record)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the document, also after an interrupt: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_sessionfinish"""
        if not self._config.getoption("collectonly"):
            self._write_files()
        if self._problems:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show table and summary: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_terminal_summary"""
        verbosity = self._config.getoption("verbose")
        records = self.records
        if verbosity >= 0 and any(record["measurement"] for record in records):
            terminalreporter.section("fib", sep="=")
            self._write_lines(terminalreporter, self._details(records, verbosity))
        if verbosity > -2 and records:
            others = (terminal.fuzz_line(records), terminal.sandbox_line(records))
            lines = [terminal.summary_line(records), *(line for line in others if line)]
            lines += [terminal.Line(text) for text in self._about_gate(records)]
            self._write_lines(terminalreporter, lines)
        self._write_lines(terminalreporter, [terminal.Line(text, {"red": True}) for text in self._problems])

    def _about_gate(self, records: list[Record]) -> list[str]:
        return gate.gate_lines(records) + (gate.aa_lines(records) if self._settings.aa else [])

    def _details(self, records: list[Record], verbosity: int) -> list[terminal.Line]:
        width = self._config.get_terminal_writer().fullwidth
        row_limit = None if verbosity > 0 else terminal.ROW_LIMIT
        lines = terminal.table_lines(records, width=width - 1, row_limit=row_limit)
        lines += terminal.remark_lines(records)
        seed = terminal.seed_line(records)
        return lines if seed is None else [*lines, seed]

    def _write_lines(self, reporter: pytest.TerminalReporter, lines: list[terminal.Line]) -> None:
        for line in lines:
            reporter.write_line(terminal.for_encoding(line.text, sys.stdout.encoding), **line.markup)

    def _append_trace(self, record: Record) -> None:
        if self._settings.traces is None:
            return
        try:
            append_trace(self._settings.traces, record)
        except OSError as error:
            self._note_problem(
                f"--fib-traces: a trace could not be appended below {self._settings.traces}", error
            )

    def _write_files(self) -> None:
        report, html = self._settings.report, self._settings.html
        if report is None and html is None:
            return
        document = self._document()
        if report is not None:
            self._write("--fib-report", report, lambda path: write_document(path, document))
        if html is not None:
            from pytest_fib.report.html.page import render

            self._write("--fib-html", html, lambda path: write_text(path, render(document)))

    def _document(self) -> dict[str, Any]:
        records = self.records
        environment = describe_run(
            device=next((record["device"] for record in records if record["device"]), "cpu"),
            timer=self._timer,
            rootdir=self._config.rootpath,
            args=[os.fspath(arg) for arg in self._config.invocation_params.args],
            sandbox=_weakest_sandbox(records),
        )
        return build_document(records, environment=environment, config=self._settings.resolved())

    def _write(self, flag: str, path: Path, write: Callable[[Path], None]) -> None:
        try:
            write(path)
        except OSError as error:
            self._note_problem(f"{flag}: {path} could not be written", error)

    def _note_problem(self, what: str, error: OSError) -> None:
        problem = f"{escape(what, 400)}: {escape(error.strerror or str(error))}"
        if problem not in self._problems:
            self._problems.append(problem)


class SuiteGate:
    """Fails the run where a solution is slower over all its workloads, though perhaps on none of them for certain."""

    def __init__(self, config: pytest.Config, reporter: RunReporter) -> None:
        self._config = config
        self._reporter = reporter

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Report after the last item: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtestloop"""
        result = yield
        for verdict in gate.suite_verdicts(self._reporter.records):
            if verdict.fails:
                session.testscollected += 1
                self._report(verdict)
        return result

    def _report(self, verdict: gate.SuiteVerdict) -> None:
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


def _check_target(path: Path, flag: str) -> None:
    try:
        check_target(path, flag)
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def _outline(records: list[Record]) -> Run:
    return read_run(build_document(records, environment={}, config={}))


def _weakest_sandbox(records: list[Record]) -> list[list[Any]]:
    """The layers of the run: those of the record in which most are missing."""
    known = (record["sandbox"] for record in records if record["sandbox"])
    return max(known, key=lambda layers: len(missing_layers(layers)), default=[])


def _keep_failure(records: list[Record], text: str) -> None:
    for record in records:
        if record["measurement"] is not None:
            record["measurement"]["failure"] = jsonable(text[:TRACE_LOG_LIMIT])


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
