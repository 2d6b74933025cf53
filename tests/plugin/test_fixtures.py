"""The fixtures for users' own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project


def test_solutions_and_workloads_come_in_pairs_that_belong_together(pytester, two_ops: Project) -> None:
    two_ops.write(
        "test_own.py",
        """
def test_pair(fib_solution, fib_workload):
    assert fib_solution.solution.definition == fib_workload.definition

def test_solution(fib_solution):
    assert fib_solution.path.suffix == ".json"

def test_workload(fib_workload):
    assert fib_workload.workload.axes["batch_size"] == fib_workload.workload.axes["batch_size"]
""",
    )
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    result = pytester.runpytest(*args, "test_own.py", "-v")
    result.assert_outcomes(passed=5 + 2 + 5)
    result.stdout.fnmatch_lines(["*test_pair?s-batch_size7-00000007? PASSED*"])
    pytester.runpytest(*args, "test_own.py", "-m", "fib(op_type='moe')").assert_outcomes(
        passed=2, deselected=10
    )


def test_without_a_solution_such_a_test_is_skipped(pytester, two_ops: Project) -> None:
    two_ops.write("test_own.py", "def test_solution(fib_solution): raise SystemError")
    pytester.runpytest().assert_outcomes(skipped=1)


def test_evaluate_judges_what_it_is_given(pytester, two_ops: Project) -> None:
    two_ops.write(
        "test_own.py",
        """
def test_good(fib_solution, fib_workload, fib_evaluate):
    evaluation = fib_evaluate(fib_solution, fib_workload)
    assert evaluation.passed
    assert evaluation.timing.latency_ms == 1.0

def test_bad(fib_workload, fib_evaluate):
    assert fib_evaluate("bad.json", fib_workload).status.value == "TIMEOUT"

def test_skip(fib_workload, fib_evaluate):
    fib_evaluate("skip.json", fib_workload)
""",
    )
    two_ops.solution("bad", "norm", "TIMEOUT", path="bad.json")
    two_ops.solution("skip", "norm", "skip no GPU", path="skip.json")
    result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}", "test_own.py")
    result.assert_outcomes(passed=6, skipped=3)


@pytest.mark.parametrize(("flags", "outcome"), [((), "skipped"), (("--fib-require-device",), "failed")])
def test_a_device_that_is_not_there_is_a_skip_unless_it_is_required(
    pytester, two_ops: Project, flags: tuple[str, ...], outcome: str
) -> None:
    two_ops.write(
        "test_own.py",
        "def test_one(fib_solution, fib_workload, fib_evaluate): fib_evaluate(fib_solution, fib_workload)",
    )
    solution = f"--fib-solution={two_ops.solution('s', 'norm')}"
    result = pytester.runpytest(solution, "test_own.py", "--fib-device=cuda:99", *flags)
    result.assert_outcomes(**{outcome: 3})


def test_evaluate_works_where_no_solution_is_named(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm")
    two_ops.write(
        "test_own.py",
        f"""
from pathlib import Path
from pytest_fib.data.readers import read_workloads

def test_mine(fib_evaluate):
    for line in read_workloads(Path("tracesets/one/workloads/op/norm.jsonl").absolute()):
        assert fib_evaluate({str(path)!r}, line).passed
""",
    )
    result = pytester.runpytest("test_own.py")
    result.assert_outcomes(passed=1)
    assert two_ops.judge_log()[-1] == "close"


def test_fixtures_are_documented(pytester) -> None:
    result = pytester.runpytest("--fixtures", "-v")
    result.stdout.fnmatch_lines(["fib_evaluate*", "*fib_evaluate(solution, workload) -> Evaluation*"])
    result.stdout.fnmatch_lines(["fib_solution*", "fib_workload*"], consecutive=False)


@pytest.mark.parametrize("value", ["many", "-1"])
def test_a_wrong_setting_fails_such_a_test_with_one_sentence(pytester, two_ops: Project, value: str) -> None:
    two_ops.write("test_own.py", "def test_mine(fib_evaluate): pass")
    result = pytester.runpytest("test_own.py", f"--fib-trials={value}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*--fib-trials must be *, not '{value}'"])
