"""Under pytest-xdist every worker judges with the controller's secret and folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytest.importorskip("xdist")


def secrets(project: Project) -> set[str]:
    """The secrets that judges were made with."""
    return {line.split()[2] for line in project.judge_log() if line.startswith("start")}


def test_workers_share_the_secret_and_close_their_judges(pytester, two_ops: Project) -> None:
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    result = pytester.runpytest_subprocess(*args, "-n2")
    result.assert_outcomes(passed=5)
    log = two_ops.judge_log()
    starts = [line for line in log if line.startswith("start")]
    assert len(starts) == 2
    assert log.count("close") == 2
    (secret,) = secrets(two_ops)
    assert len(bytes.fromhex(secret)) == 32


def test_every_run_has_a_new_secret_unless_a_seed_is_given(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm")
    for _ in range(2):
        pytester.runpytest(f"--fib-solution={path}")
    assert len(secrets(two_ops)) == 2
    for seed in (7, 7, 8):
        pytester.runpytest(f"--fib-solution={path}", f"--fib-seed={seed}")
    assert len(secrets(two_ops)) == 4


def test_everything_skipped_is_exit_5_and_a_compile_error_is_shown_once(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm", "skip there is no GPU")
    result = pytester.runpytest_subprocess(f"--fib-solution={path}", "-n2")
    result.assert_outcomes(skipped=3)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    path = two_ops.solution("s", "norm", "COMPILE_ERROR first line of the compiler\nerror: no")
    result = pytester.runpytest_subprocess(f"--fib-solution={path}", "-n2", "-rN")
    result.assert_outcomes(failed=3)
    assert sum("first line of the compiler" in line for line in result.outlines) == 1
