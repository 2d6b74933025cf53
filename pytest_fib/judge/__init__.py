"""The judge: evaluates a solution on a workload without ever sharing a process with it.

``JudgeSession(config).evaluate(definition, workload, solution)`` returns an ``Evaluation``. Nothing in this package
imports ``pytest_fib.candidate`` or ``pytest_fib.build``; the two sides meet at ``pytest_fib.border`` alone.
"""

import pytest_fib.judge.quiet_openmp  # noqa: F401  (before anything that imports torch)
from pytest_fib.judge.config import JudgeConfig, Limits, Sampling, Tolerance
from pytest_fib.judge.session import JudgeSession

__all__ = ["JudgeConfig", "JudgeSession", "Limits", "Sampling", "Tolerance"]
