"""What a solution started does not run between its requests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.judge.freezer import Freezer, descendants

from .conftest import Judge

FAMILY = """
import os, threading, time

def live():
    print("ready", flush=True)
    time.sleep(1000)

for _ in range(2):
    if os.fork() == 0:
        threading.Thread(target=time.sleep, args=(1000,)).start()
        os.fork()
        live()
live()
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with two children, each with two threads and a child."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        yield process
        for pid in [*descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)


def states(pids: list[int]) -> set[str]:
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids}


def test_all_descendants_stop_and_one_branch_resumes(family: subprocess.Popen[bytes]) -> None:
    freezer = Freezer(family.pid)
    everyone = descendants(family.pid)
    assert len(everyone) == 4
    assert freezer.stop(everyone[0])
    assert states(everyone) == {"T"}
    first, second = everyone[:2]
    freezer.resume(first)
    time.sleep(0.05)
    assert "T" not in states([first, *descendants(first)])
    assert states([second, *descendants(second)]) == {"T"}
    assert states([family.pid]) != {"T"}


def test_a_thread_that_works_between_requests_gains_nothing(judge: Judge) -> None:
    """It reads each new input as soon as it may, and has the result ready when "go" comes."""
    evaluation = judge(
        "import threading, torch\n"
        "torch.set_num_threads(1)\n"
        "state = {}\n"
        "def slow(x, w, bias):\n"
        "    y = x * w + bias\n"
        "    for _ in range(200):\n"
        "        y = (y + 1) - 1\n"
        "    return x * w + bias\n"
        "def ahead():\n"
        "    while True:\n"
        "        if 'x' in state:\n"
        "            key = state['x'].clone()\n"
        "            if 'key' not in state or not torch.equal(key, state['key']):\n"
        "                state['y'] = slow(state['x'], state['w'], state['bias'])\n"
        "                state['key'] = key\n"
        "threading.Thread(target=ahead, daemon=True).start()\n"
        "def run(x, w, bias):\n"
        "    state.update(x=x, w=w, bias=bias)\n"
        "    if 'key' in state and torch.equal(state['key'], x):\n"
        "        return state['y']\n"
        "    return slow(x, w, bias)\n"
    )
    honest = judge(
        "import torch\n"
        "def run(x, w, bias):\n"
        "    y = x * w + bias\n"
        "    for _ in range(200):\n"
        "        y = (y + 1) - 1\n"
        "    return x * w + bias\n"
    )
    assert honest.timing is not None
    assert honest.status is Status.PASSED
    if evaluation.status is Status.PASSED:
        assert evaluation.timing is not None
        assert evaluation.timing.latency_ms > 0.5 * honest.timing.latency_ms
