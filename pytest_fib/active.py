"""The hooks of a run that names solutions: one line each, registered only then."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_fib import collection
from pytest_fib.closing import closing_lines
from pytest_fib.errors import SettingsError
from pytest_fib.preflight import Preflight
from pytest_fib.report.plugin import ReportPlugin
from pytest_fib.session import FibSession

PLUGIN_NAME = "fib_active"


def active_session(config: pytest.Config) -> FibSession | None:
    """The run's session, or None where no solution is named."""
    hooks = config.pluginmanager.get_plugin(PLUGIN_NAME)
    return hooks.fib if isinstance(hooks, ActiveHooks) else None


def activate(config: pytest.Config) -> None:
    """Begin the run's session and choose what is collected; raises pytest.UsageError."""
    try:
        fib = FibSession(config)
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None
    config.add_cleanup(fib.close)
    _end_like_an_interrupt(config)
    config.pluginmanager.register(ActiveHooks(fib), PLUGIN_NAME)
    config.pluginmanager.register(ReportPlugin(fib.settings), "fib_report")
    collection.set_arguments(fib)


def _end_like_an_interrupt(config: pytest.Config) -> None:
    """Let SIGTERM, with which CI systems cancel, end the run as Ctrl-C does: report written, nothing left running."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)

    def restore() -> None:
        signal.signal(signal.SIGTERM, before)

    config.add_cleanup(restore)


class ActiveHooks:
    """Hooks of a run that judges."""

    def __init__(self, fib: FibSession) -> None:
        self.fib = fib
        self.preflight = Preflight(fib)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_sessionstart"""
        self.preflight.check()

    def pytest_report_header(self) -> list[str]:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_report_header"""
        return self.preflight.header()

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_ignore_collect"""
        return collection.is_ignored(self.fib, collection_path) or None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_collect_directory"""
        return collection.collect_directory(self.fib, path, parent)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_collect_file"""
        return collection.collect_file(self.fib, file_path, parent)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """https://pytest-xdist.readthedocs.io/en/stable/how-to.html#hooks"""
        self.fib.configure_worker(node.workerinput)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtest_logreport"""
        self.fib.tally.count(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_sessionfinish"""
        session.exitstatus = self.fib.tally.exit_status(session.exitstatus)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_terminal_summary"""
        for line in closing_lines(self.fib, exitstatus):
            terminalreporter.write_line(line)
