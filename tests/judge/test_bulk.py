"""Bulk inputs are drawn where they are needed, and judged like small ones."""

from __future__ import annotations

import pytest

from pytest_fib.data.trace import EvaluationStatus as Status

from .conftest import HONEST, Judge, solution, workload

ROWS = (2 << 20) // 256  # 2 MiB of x


@pytest.fixture(autouse=True)
def bulk_begins_at_a_megabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_fib.judge.bench._BULK_BYTES", 1 << 20)


@pytest.mark.parametrize("language", ["python", "triton"])  # read-only and writable inputs
def test_bulk_inputs_are_judged(judge: Judge, language: str) -> None:
    evaluation = judge(solution(HONEST, language), workload(ROWS))
    assert (evaluation.status, evaluation.log) == (Status.PASSED, "")
    assert evaluation.verified_calls >= 20


def test_a_result_of_earlier_bulk_inputs_is_wrong(judge: Judge) -> None:
    remembering = "known = []\ndef run(x, w, bias):\n    known.append(x * w + bias)\n    return known[0]\n"
    assert judge(remembering, workload(ROWS)).status is Status.INCORRECT_NUMERICAL
