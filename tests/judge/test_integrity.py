"""A candidate that breaks the rules of measurement is caught by what the judge sees in its own memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.judge import JudgeSession, Sampling

from .conftest import CONFIG, SCALE_ADD, Judge, in_call, solution, workload


def test_writing_around_the_output_is_seen(judge: Judge) -> None:
    evaluation = judge(
        "import ctypes\n"
        "def run(x, w, bias, y):\n"
        "    y.copy_(x * w + bias)\n"
        "    ctypes.memset(y.data_ptr() + y.nbytes, 0, 64)\n"
    )
    assert evaluation.status is Status.RUNTIME_ERROR
    assert evaluation.log.startswith("integrity:")
    assert "outside its outputs" in evaluation.integrity_detail


def test_an_output_that_is_written_later_is_seen(judge: Judge) -> None:
    evaluation = judge(
        "import threading, time\n"
        "def late(x, w, bias, y):\n"
        "    time.sleep(0.001)\n"
        "    y.copy_(x * w + bias)\n"
        "def run(x, w, bias, y):\n"
        "    threading.Thread(target=late, args=(x, w, bias, y), daemon=True).start()\n"
    )
    assert evaluation.status in (Status.RUNTIME_ERROR, Status.INCORRECT_NUMERICAL)


@pytest.mark.parametrize(
    "cache",
    [
        "key = x.data_ptr()",
        "key = tuple(x.shape)",
        "key = id(x)",
        "key = x._version",
    ],
)
def test_a_result_remembered_by_anything_but_content_is_wrong(judge: Judge, cache: str) -> None:
    evaluation = judge(
        "known = {}\n"
        "def run(x, w, bias):\n"
        f"    {cache}\n"
        "    if key not in known:\n"
        "        known[key] = x * w + bias\n"
        "    return known[key]\n"
    )
    assert evaluation.status is Status.INCORRECT_NUMERICAL


def test_an_output_left_from_the_last_call_is_wrong(judge: Judge) -> None:
    evaluation = judge(
        "calls = 0\n"
        "def run(x, w, bias, y):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if calls < 3:\n"
        "        y.copy_(x * w + bias)\n"
    )
    assert evaluation.status is Status.INCORRECT_NUMERICAL


def test_calls_use_mostly_the_same_buffers_and_at_times_others(cache_dir: Path) -> None:
    # A request of its own for every call, and so many that all at one place would be a chance of one in 10^8.
    source = in_call("time.sleep(1e-4)", "print('address', x.data_ptr())")
    config = replace(CONFIG, cache_dir=cache_dir, sampling=Sampling(1, 200, 1, budget_s=None))
    with JudgeSession(config) as session:
        evaluation = session.evaluate(SCALE_ADD, workload(), solution(source), None)
    assert evaluation.status is Status.PASSED
    addresses = [line for line in evaluation.output.splitlines() if line.startswith("address")]
    [(_, most)] = Counter(addresses).most_common(1)
    assert len(addresses) / 2 < most < len(addresses)
