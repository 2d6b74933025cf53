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


# Before it says that it is ready it waits until the judge must have drawn what comes next, and works on that.
BEFORE_READY = """
import time, torch
import pytest_fib.border.arena as arena
from pytest_fib.candidate.worker import Worker
def ahead(self, kernel, memory, sequence):
    time.sleep(0.05)
    x, w, bias = self._calls[0][:3]
    known = x * w + bias
    memory.reply[arena.READY] = sequence
    while memory.control[arena.GO] != sequence:
        memory.reply[arena.BEAT] += 1
    self._calls[memory.control[arena.FIRST]][3].copy_(known)
    memory.reply[arena.DONE] = sequence
Worker._timed_request = ahead
def run(x, w, bias, y):
    torch.addcmul(torch.full_like(x, bias), x, w, out=y)
"""


def test_bulk_inputs_do_not_exist_before_the_candidate_is_ready(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_fib.judge.bench._BATCH_BYTES", 1 << 20)  # each call is drawn where it is used
    eager = solution(BEFORE_READY, destination_passing_style=True)
    assert judge(eager, workload(ROWS)).status is Status.INCORRECT_NUMERICAL
