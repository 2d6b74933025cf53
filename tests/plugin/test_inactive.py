"""Where no solution is named, the plugin does nothing and costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

PROBE = """
import sys

def pytest_unconfigure(config):
    heavy = [name for name in ("torch", "pydantic", "triton", "tvm_ffi", "numpy") if name in sys.modules]
    own = sorted(name for name in sys.modules if name.startswith("pytest_fib"))
    print("imported:", *heavy, *own)
    print("registered:", *(name for name, _ in config.pluginmanager.list_name_plugin() if "fib" in name))
"""


def test_nothing_heavy_is_imported_and_nothing_registered(pytester, two_ops: Project) -> None:
    pytester.makeconftest(PROBE)
    two_ops.write("test_own.py", "def test_own(): pass")
    result = pytester.runpytest_subprocess("-s", "-pno:hypothesispytest")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["imported: pytest_fib pytest_fib.options pytest_fib.plugin", "registered: fib"]
    )


def test_collecting_imports_no_torch(pytester, two_ops: Project) -> None:
    pytester.makeconftest(PROBE)
    path = two_ops.solution("s", "norm")
    result = pytester.runpytest_subprocess(f"--fib-solution={path}", "--collect-only", "-q", "-s")
    result.stdout.fnmatch_lines(["*norm.jsonl::s::batch_size7-00000007", "imported: pydantic pytest_fib *"])
    imported = next(line for line in result.outlines if line.startswith("imported:")).split()
    needed_later = ("baselines", "data.trace", "judge", "report.gate", "report.reading", "report.table")
    assert not [name for name in needed_later if f"pytest_fib.{name}" in imported]


def test_workload_files_of_a_foreign_repository_are_left_alone(pytester, two_ops: Project) -> None:
    two_ops.write("test_own.py", "def test_own(): pass")
    two_ops.write("traces/test_traces.py", "def test_traces(): pass")
    two_ops.write("workloads/x.jsonl", "not for us")
    result = pytester.runpytest()
    result.assert_outcomes(passed=2)
    assert not any("fib:" in line for line in result.outlines)


def test_flags_without_a_solution_do_nothing(pytester, two_ops: Project) -> None:
    two_ops.write("test_own.py", "def test_own(): pass")
    pytester.runpytest("--fib-report=r.json", "--fib-trials=3").assert_outcomes(passed=1)


def test_the_marker_is_registered(pytester) -> None:
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.fib(definition, *"])
