"""What a solution started does not run between its requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.judge import JudgeSession
from pytest_fib.judge.freezer import Freezer, descendants

from .conftest import SCALE_ADD, Judge, solution, workload

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


# Its first thread ends and another one goes on, counting into a file.
HEADLESS = """
import ctypes, os, sys, threading

def count():
    file, number = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), 0
    print("ready", flush=True)
    while True:
        number += 1
        os.pwrite(file, b"%d" % number, 0)

if os.fork() == 0:
    threading.Thread(target=count).start()
    ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
os.wait()
"""


def test_a_process_without_its_first_thread_stops(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    command = [sys.executable, "-c", HEADLESS, str(counter)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            (headless,) = descendants(process.pid)
            deadline = time.monotonic() + 10
            while states([headless]) != {"Z"} and time.monotonic() < deadline:
                time.sleep(0.01)
            assert states([headless]) == {"Z"}
            assert Freezer(process.pid).stop(headless)
            before = counter.read_text()
            time.sleep(0.05)
            assert counter.read_text() == before
            os.kill(headless, signal.SIGCONT)
            time.sleep(0.05)
            assert counter.read_text() != before
        finally:
            os.kill(headless, 9)
            process.kill()


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


def settled(freezer: Freezer, everyone: list[int]) -> None:
    """Stop everybody, and wait until every thread has come to where it stops."""
    assert freezer.stop(everyone[0])
    await_threads(everyone, "T")
    freezer.mark()


def await_threads(pids: list[int], wanted: str) -> None:
    """Wait until all threads of these processes are in one of the ``wanted`` states, and off the processor."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        stats = [path.read_text() for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        if {stat.rpartition(")")[2].split()[0] for stat in stats} <= set(wanted):
            time.sleep(0.05)
            return
        time.sleep(0.01)
    pytest.fail(f"threads of {pids} are in other states than {wanted}")


def test_who_stays_stopped_is_held(family: subprocess.Popen[bytes]) -> None:
    freezer = Freezer(family.pid)
    settled(freezer, descendants(family.pid))
    time.sleep(0.05)
    assert freezer.held()


def test_who_is_awake_is_not_held(family: subprocess.Popen[bytes]) -> None:
    freezer = Freezer(family.pid)
    everyone = descendants(family.pid)
    settled(freezer, everyone)
    os.kill(everyone[-1], signal.SIGCONT)
    await_threads(everyone[-1:], "S")
    assert not freezer.held()


def test_who_was_awake_and_stopped_again_is_not_held(family: subprocess.Popen[bytes]) -> None:
    freezer = Freezer(family.pid)
    everyone = descendants(family.pid)
    settled(freezer, everyone)
    os.kill(everyone[-1], signal.SIGCONT)
    await_threads(everyone[-1:], "S")
    os.kill(everyone[-1], signal.SIGSTOP)
    await_threads(everyone, "T")
    assert not freezer.held()
    freezer.mark()
    assert freezer.held()


# A timer continues the process soon after it was stopped, and what is then ready is there at "go".
TIMER = """
#include <signal.h>
#include <time.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView w, double bias, tvm::ffi::TensorView y) {
  static timer_t timer = nullptr;
  if (timer == nullptr) {
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGCONT;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) {
      itimerspec often{{0, 50000}, {0, 50000}};
      timer_settime(timer, 0, &often, nullptr);
    } else {
      timer = timer_t(1);
    }
  }
  auto *a = static_cast<float*>(x.data_ptr()), *b = static_cast<float*>(w.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.numel(); ++i) out[i] = a[i] * b[i % 64] + static_cast<float>(bias);
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


@pytest.mark.parametrize("without", [frozenset(), frozenset({"seccomp"})], ids=["seccomp", "no-seccomp"])
def test_a_timer_that_continues_a_stopped_process(session: JudgeSession, without: frozenset[str]) -> None:
    """The layer forbids the timer; where it is missing, the clock of the process tells."""
    before = session.config
    session.config = replace(before, sandbox_without=without)
    try:
        evaluation = session.evaluate(SCALE_ADD, workload(), solution(TIMER, "cpp"), None)
    finally:
        session.config = before
    if without:
        assert "run between its requests" in evaluation.integrity_detail
        assert evaluation.status is Status.RUNTIME_ERROR
    else:
        assert evaluation.status is Status.PASSED, evaluation.log


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
