"""The part of the plugin that reports. Items are recorded where they run; everything else is the controller's."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fib.bridge import benchmark
from pytest_fib.bridge.xdist import is_worker
from pytest_fib.errors import SettingsError
from pytest_fib.report.carrier import RecordCarrier
from pytest_fib.report.document import build_document
from pytest_fib.report.files import check_target
from pytest_fib.report.progress import ProgressLine, wants_progress
from pytest_fib.report.record import Record
from pytest_fib.report.reporter import ReportSettings, RunReporter
from pytest_fib.report.suite_gate import SuiteGate

if TYPE_CHECKING:
    from pytest_fib.report.run import Run

CARRIER_NAME = "fib-record-carrier"
REPORTER_NAME = "fib-reporter"
PROGRESS_NAME = "fib-progress"
GITHUB_NAME = "fib-github"
SUITE_NAME = "fib-suite-gate"


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
        if _on_github(os.environ):
            from pytest_fib.report.github import GithubSurface

            surface = GithubSurface(lambda: _outline(reporter.records), os.environ)
            config.pluginmanager.register(surface, GITHUB_NAME)
        if wants_progress(sys.stdout, config.getoption("verbose")):
            line = ProgressLine(sys.stdout, config.get_terminal_writer)
            config.pluginmanager.register(line, PROGRESS_NAME)


def _on_github(environ: Mapping[str, str]) -> bool:
    """Whether GitHub Actions reads what this process prints, or wants a summary."""
    return environ.get("GITHUB_ACTIONS") == "true" or bool(environ.get("GITHUB_STEP_SUMMARY"))


def _check_target(path: Path, flag: str) -> None:
    try:
        check_target(path, flag)
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def _outline(records: list[Record]) -> Run:
    from pytest_fib.report.reading import read_run

    return read_run(build_document(records, environment={}, config={}))
