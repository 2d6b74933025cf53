"""Rows in pytest-benchmark's table, JSON and comparisons, from samples that the judge measured.

Without xdist the samples go in by pytest-benchmark's public API: a ``benchmark`` mark sets the timer to
:func:`judge_clock`, and :func:`add_samples` lets that clock show one sample per round. Under xdist pytest-benchmark
disables itself in every process, so the controller appends the rows before the results are saved.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Generator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_fib.bridge.xdist import is_controller, is_worker
from pytest_fib.data.text import escape

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Evaluation

MARK_NAME = "benchmark"
ROWS_NAME = "fib-benchmark-rows"
FIXTURES_NAME = "fib-benchmark-fixtures"

_PLUGIN = "pytest-benchmark"

_now: ContextVar[float] = ContextVar("judge_clock", default=0.0)


def judge_clock() -> float:
    """The time, in seconds, that pytest-benchmark sees: 0 before a round and the judge's sample after it."""
    return _now.get()


def timing_disabled(config: pytest.Config) -> bool:
    """Whether pytest-benchmark's options ask for correctness only; False without pytest-benchmark."""
    disabled = config.getoption("benchmark_disable", False) and not config.getoption(
        "benchmark_enable", False
    )
    return bool(disabled) or _skips_benchmarks(config)


def wants_fixture(config: pytest.Config) -> bool:
    """Whether items should request the fixture ``benchmark``. Ask after ``pytest_configure``, at collection.

    Not in an xdist worker: pytest-benchmark would warn there that it is disabled, although the rows appear.
    """
    return is_active(config) and not _skips_benchmarks(config) and not is_worker(config)


def is_active(config: pytest.Config) -> bool:
    """Whether pytest-benchmark (and not another plugin with a ``benchmark`` fixture) serves this run."""
    return config.pluginmanager.has_plugin(_PLUGIN)


def register(config: pytest.Config) -> None:
    """Register the plugins that put samples into pytest-benchmark; harmless without it."""
    if is_controller(config):
        config.pluginmanager.register(ControllerRows(config), ROWS_NAME)
    else:
        config.pluginmanager.register(FixtureMarks(), FIXTURES_NAME)


def add_samples(benchmark: Any, evaluation: Evaluation) -> None:
    """Give an item's samples to its ``benchmark`` fixture; nothing happens with None or another plugin's fixture.

    An evaluation without timing, or one that did not pass, marks the benchmark as failed, so that it has no row.
    """
    if not _is_pytest_benchmarks(benchmark):
        return
    row = _Row.of_evaluation(evaluation, benchmark.fullname)
    benchmark.name, benchmark.group = row.name, row.group
    benchmark.param, benchmark.params = row.param, row.params
    benchmark.extra_info.update(row.extra_info)
    if not row.samples_s:
        leave_out(benchmark)
        return
    _replay(benchmark, row.samples_s)


def leave_out(benchmark: Any) -> None:
    """Mark the fixture of an item without samples as used and failed, so that it has no row and warns of nothing."""
    if _is_pytest_benchmarks(benchmark):
        with contextlib.suppress(_NotTimed):
            benchmark.pedantic(_not_timed)


class FixtureMarks:
    """Sets the timer of every item that requests the fixture, just before the fixture is made."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Mark the item: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtest_setup"""
        requested = MARK_NAME in getattr(item, "fixturenames", ())
        if requested and item.get_closest_marker("fib") is not None and is_active(item.config):
            item.add_marker(pytest.mark.benchmark(timer=judge_clock))


class ControllerRows:
    """Collects measurements from the workers' reports and hands them to pytest-benchmark at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rows: list[_Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the measurements: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_runtest_logreport"""
        for record in getattr(report, "fib", {}).get("records", []):
            row = _Row.of_record(record)
            if row is not None and row.samples_s:
                self._rows.append(row)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Append the rows before pytest-benchmark saves and compares: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_sessionfinish"""
        if not timing_disabled(self._config):
            self._append_rows()
        return (yield)

    def _append_rows(self) -> None:
        session = self._config.pluginmanager.get_plugin(_PLUGIN)
        if session is None or not self._rows:
            return
        stats: Any = importlib.import_module("pytest_benchmark.stats")
        for row in self._rows:
            metadata = stats.Metadata(row, iterations=1, options={"timer": judge_clock})
            for sample in row.samples_s:
                metadata.update(sample)
            session.benchmarks.append(metadata)


@dataclass(frozen=True)
class _Row:
    """One row of the table, with the attributes that pytest-benchmark reads from its own fixture.

    The rows of one definition form a group, and the solution stands where a parameter would, so that
    ``--benchmark-group-by=func`` compares solutions on one workload.
    """

    name: str
    fullname: str
    group: str
    param: str
    params: Mapping[str, Any]
    extra_info: dict[str, Any]
    samples_s: Sequence[float] = ()
    cprofile_stats: None = field(default=None)
    has_error: bool = field(default=False)

    @classmethod
    def of_evaluation(cls, evaluation: Evaluation, nodeid: str) -> _Row:
        """The row of an evaluation in this process."""
        timing = evaluation.timing if evaluation.passed else None
        return cls._make(
            nodeid,
            evaluation.definition,
            evaluation.solution,
            evaluation.axes,
            samples_ms=[] if timing is None else timing.samples_ms,
            info={
                "definition": evaluation.definition,
                "workload": evaluation.workload,
                "solution": evaluation.solution,
                "solution_hash": evaluation.solution_hash,
                "status": evaluation.status.value,
                "latency_ms": None if timing is None else timing.latency_ms,
                "reference_latency_ms": None if timing is None else timing.reference_latency_ms,
                "speedup": None if timing is None or timing.latency_ms <= 0 else timing.speedup,
                "clock": None if timing is None else timing.clock,
            },
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> _Row | None:
        """The row of a record that came from a worker; None for a skip."""
        measurement = record["measurement"]
        if measurement is None:
            return None
        passed = measurement["status"] == "PASSED"
        info = {
            key: measurement[key] for key in ("definition", "workload", "solution", "solution_hash", "status")
        }
        info["latency_ms"] = measurement["latency_ms"]
        info["reference_latency_ms"] = record["reference_latency_ms"]
        info["speedup"] = record["speedup"]
        info["clock"] = measurement["clock"]
        samples = [sample for sample in measurement["samples_ms"] if sample is not None]
        return cls._make(
            measurement["nodeid"],
            measurement["definition"],
            measurement["solution"],
            record["axes"],
            samples_ms=samples if passed else [],
            info=info,
        )

    @classmethod
    def _make(
        cls,
        nodeid: str,
        definition: str,
        solution: str,
        axes: Mapping[str, int],
        *,
        samples_ms: Sequence[float],
        info: dict[str, Any],
    ) -> _Row:
        _, _, label = nodeid.rpartition("::")
        shown = escape(solution, 80)
        return cls(
            name=f"{escape(label)}[{shown}]",
            fullname=nodeid,
            group=escape(definition),
            param=shown,
            params={"solution": shown, **axes},
            extra_info=info,
            samples_s=[sample / 1e3 for sample in samples_ms],
        )


class _NotTimed(Exception):
    """Tells pytest-benchmark that this benchmark failed."""


def _not_timed() -> NoReturn:
    raise _NotTimed


def _replay(benchmark: Any, samples_s: Sequence[float]) -> None:
    """Run one round per sample. Each starts at 0, because a difference of growing sums would lose digits."""
    remaining = iter(samples_s)
    token = _now.set(0.0)
    try:
        benchmark.pedantic(
            # A profiling run (--benchmark-cprofile) calls once more than there are rounds.
            target=lambda: _now.set(next(remaining, 0.0)),
            setup=lambda: _now.set(0.0) and None,
            rounds=len(samples_s),
            iterations=1,
        )
    finally:
        _now.reset(token)


def _is_pytest_benchmarks(benchmark: Any) -> bool:
    """Whether this is the fixture of pytest-benchmark, and not None or that of another plugin."""
    return type(benchmark).__module__.startswith("pytest_benchmark.")


def _skips_benchmarks(config: pytest.Config) -> bool:
    """pytest-benchmark lets ``--benchmark-only`` win over ``--benchmark-skip``."""
    return bool(config.getoption("benchmark_skip", False) and not config.getoption("benchmark_only", False))
