"""The repaired interpreter against torch, in processes of its own: TRITON_INTERPRET counts at triton's import."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run_python(*arguments: str, interpret: bool = True) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TRITON_INTERPRET", None)
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    outcomes = json.loads(run_python(str(HERE / "interpreted_kernels.py")))
    assert isinstance(outcomes, dict)
    return outcomes


@pytest.mark.parametrize(
    "case",
    [
        "ensure_correct",
        "arithmetic_is_float32_rounded_once",
        "clamp_in_bf16",
        "fp16_is_as_it_was",
        "float32_to_bf16_rounds_to_nearest_even",
        "every_half_to_float8",
        "float8_saturates_as_on_nvidia",
        "every_pattern_to_wider_floats",
        "integers_to_bf16",
        "dot",
        "softmax_in_bf16",
        "reductions_scans_and_sort_in_bf16",
        "atomic_add_with_repeated_addresses",
        "autotune_runs_the_kernel_once",
        "math_functions",
        "other_libdevice_functions_say_so",
        "nan_padding_of_bf16",
        "printing_shows_numbers",
        "the_language_is_looked_through_once_and_put_back",
    ],
)
def test_kernels_agree_with_torch(outcomes: dict[str, str], case: str) -> None:
    assert outcomes[case] == ""


def test_every_case_of_the_script_is_asserted(outcomes: dict[str, str]) -> None:
    marks = test_kernels_agree_with_torch.pytestmark  # type: ignore[attr-defined]
    assert set(outcomes) == set(marks[0].args[1])


def test_what_a_repair_misses_is_named() -> None:
    out = run_python(
        "-c",
        """
import triton.runtime.interpreter as interpreter
from pytest_fib.build.triton_interpreter import repair
from pytest_fib.build.triton_selfcheck import self_check
assert repair() is None
assert self_check() == ()
builder = interpreter.InterpreterBuilder
builder.create_fadd = lambda self, lhs, rhs: self.binary_op(lhs, rhs, interpreter.np.add)
print(*self_check(), sep=", ")
builder.create_dot = lambda self, *args: 1 / 0
print(*self_check(), sep=", ")
""",
    )
    first, second = out.splitlines()
    assert "bf16 add" in first
    assert "fp8e4nv add" in first
    assert "multiply" not in first
    assert "dot" not in first
    assert "bf16 dot (InterpreterError)" in second


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks for low addresses with MAP_32BIT")
def test_the_check_passes_with_arrays_at_low_addresses() -> None:
    out = run_python(
        "-c",
        """
import mmap
import types
import numpy as np
import pytest_fib.build.triton_selfcheck as selfcheck
from pytest_fib.build.triton_interpreter import ensure_correct
MAP_32BIT = 0x40
seen = []
def low(array):
    region = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT)
    copy = np.frombuffer(region, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    seen.append(copy.ctypes.data)
    return copy
selfcheck.np = types.SimpleNamespace(**vars(np))
selfcheck.np.zeros = lambda *arguments: low(np.zeros(*arguments))
selfcheck.np.array = lambda *arguments, **more: low(np.array(*arguments, **more))
print(ensure_correct(), len(seen) > 20, max(seen) < 2**31)
""",
    )
    assert out.strip() == "() True True"


def test_an_interpreter_built_differently_is_reported_and_not_trusted() -> None:
    out = run_python(
        "-c",
        """
import triton.runtime.interpreter as interpreter
del interpreter.InterpreterBuilder.cast_impl
from pytest_fib.build.triton_interpreter import ensure_correct
print(ensure_correct())
""",
    )
    assert "is unknown here (AttributeError" in out
    assert "fp32 to bf16" in out or "bf16 casts" in out


def test_without_the_interpreter_nothing_is_trusted() -> None:
    out = run_python(
        "-c",
        "from pytest_fib.build.triton_interpreter import ensure_correct; print(ensure_correct())",
        interpret=False,
    )
    assert "TRITON_INTERPRET=1 was not set" in out


def test_the_check_starts_no_threads_and_a_fork_can_compute() -> None:
    out = run_python(
        "-c",
        """
import os
import torch, triton, triton.language
def threads():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("Threads")))
before = threads()
from pytest_fib.build.triton_interpreter import ensure_correct
assert ensure_correct() == ()
assert threads() == before, (before, threads())
child = os.fork()
if child == 0:
    total = torch.ones(1 << 22).sum().item()
    os._exit(0 if total == 1 << 22 and ensure_correct() == () else 1)
print(os.waitpid(child, 0)[1])
""",
    )
    assert out.strip() == "0"


def test_the_known_answers_are_torchs() -> None:
    assert run_python(str(HERE / "known_answers.py")).strip() == "agreed"
