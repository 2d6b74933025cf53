"""Collects the records of all processes and writes traces, document, page, table and summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_fib.data.layers import missing_layers
from pytest_fib.data.text import escape
from pytest_fib.report.carrier import records_of
from pytest_fib.report.document import build_document, write_document
from pytest_fib.report.environment import describe_run
from pytest_fib.report.files import write_text
from pytest_fib.report.record import Record, nodeid_of
from pytest_fib.report.text import Line, for_encoding
from pytest_fib.report.traces import append_trace


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


class RunReporter:
    """Keeps what every item left, and writes it when its time comes."""

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
        if not (self._found or self._problems):
            return
        from pytest_fib.report import conditions, terminal

        verbosity = self._config.getoption("verbose")
        records = self.records
        if verbosity >= 0 and any(record["measurement"] for record in records):
            terminalreporter.section("fib", sep="=")
            self._write_lines(terminalreporter, self._details(records, verbosity))
        if verbosity > -2 and records:
            others = (terminal.fuzz_line(records), terminal.sandbox_line(records))
            lines = terminal.build_remark_lines(records) if verbosity >= 0 else []
            lines += [terminal.summary_line(records), *(line for line in others if line)]
            lines += conditions.device_lines(records)
            lines += [Line(text) for text in self._about_gate(records)]
            self._write_lines(terminalreporter, lines)
        self._write_lines(terminalreporter, [Line(text, {"red": True}) for text in self._problems])

    def _about_gate(self, records: list[Record]) -> list[str]:
        from pytest_fib.report import gate

        return gate.gate_lines(records) + (gate.aa_lines(records) if self._settings.aa else [])

    def _details(self, records: list[Record], verbosity: int) -> list[Line]:
        from pytest_fib.report import terminal
        from pytest_fib.report.table import ROW_LIMIT, table_lines

        width = self._config.get_terminal_writer().fullwidth
        row_limit = None if verbosity > 0 else ROW_LIMIT
        lines = table_lines(records, width=width - 1, row_limit=row_limit)
        lines += terminal.remark_lines(records)
        seed = terminal.seed_line(records)
        return lines if seed is None else [*lines, seed]

    def _write_lines(self, reporter: pytest.TerminalReporter, lines: list[Line]) -> None:
        for line in lines:
            reporter.write_line(for_encoding(line.text, sys.stdout.encoding), **line.markup)

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
        from pytest_fib.report import conditions

        records = self.records
        environment = describe_run(
            device=next((record["device"] for record in records if record["device"]), "cpu"),
            timer=self._timer,
            rootdir=self._config.rootpath,
            args=[os.fspath(arg) for arg in self._config.invocation_params.args],
            sandbox=_weakest_sandbox(records),
        )
        environment["clocks"] = conditions.with_state(environment["clocks"], records)
        environment["driver"] = conditions.driver_of(records) or environment["driver"]
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


def _weakest_sandbox(records: list[Record]) -> list[list[Any]]:
    """The layers of the run: those of the record in which most are missing."""
    known = (record["sandbox"] for record in records if record["sandbox"])
    return max(known, key=lambda layers: len(missing_layers(layers)), default=[])
