"""``--fib-build-only``: one item per solution, which builds and loads it and runs nothing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from pytest_fib.judge.zygote import search_path

if TYPE_CHECKING:
    from conftest import Project

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")

CUDA = {
    "language": "cuda",
    "target_hardware": ["cuda"],
    "entry_point": "kernel.cu::run",
    "destination_passing_style": True,
}


@pytest.fixture
def one_op(project: Project) -> Project:
    """A definition with two workloads, judged by the real judge."""
    project.definition("norm")
    project.workloads("norm", [1, 2])
    return project


def test_every_solution_is_built_once_and_never_called(pytester, one_op: Project) -> None:
    fine = one_op.solution("fine", "norm", "def run(x):\n    raise SystemExit('called')\n")
    broken = one_op.solution("broken", "norm", "import no_such_module\n")
    args = [f"--fib-solution={path}" for path in (fine, broken)]
    result = pytester.runpytest("--fib-build-only", "-v", *args)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines_random(
        ["*::fine::build PASSED*", "*::broken::build FAILED*", "COMPILE_ERROR*", "*no_such_module*"]
    )


@pytest.mark.skipif(
    shutil.which("nvcc", path=search_path()) is None or importlib.util.find_spec("tvm_ffi") is None,
    reason="needs nvcc and tvm_ffi",
)
def test_cuda_that_does_not_compile_fails_with_the_compilers_words(
    pytester, one_op: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No device is needed, so any CI with a toolkit finds it."""
    monkeypatch.setenv("TVM_FFI_CUDA_ARCH_LIST", "9.0a")
    source = {"path": "kernel.cu", "content": "__global__ void run( {\n"}
    path = one_op.solution("s", "norm", spec=CUDA, sources=[source])
    result = pytester.runpytest("--fib-build-only", f"--fib-solution={path}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["COMPILE_ERROR*", "*kernel.cu(1): error:*"])


TRITON = {
    "language": "triton",
    "target_hardware": ["cuda"],
    "entry_point": "main.py::run",
    "destination_passing_style": True,
}
FINE = """\
import os
import torch
import triton
import triton.language as tl

@triton.jit
def twice(x_ptr, y_ptr, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(y_ptr + at, 2 * tl.load(x_ptr + at))

def run(x, y):
    twice[(len(x),)](x, y, WIDTH=8)
"""
NOWHERE = FINE.replace("2 * tl.load", "nowhere * tl.load")
TUNED = FINE.replace("@triton.jit", "@triton.autotune([triton.Config({'WIDTH': 8})], key=[])\n@triton.jit")
TUNED = TUNED.replace(", WIDTH=8", "")
READS = FINE.replace("(len(x),)", "(int(x.sum().item()),)")
STOPS = FINE.replace("def run(x, y):\n", "def run(x, y):\n    x.numpy()\n")
DOT = """\
import triton
import triton.language as tl

@triton.jit
def product(x_ptr, y_ptr):
    a = tl.load(x_ptr + tl.arange(0, 16)[:, None] + tl.arange(0, 16)[None, :])
    b = tl.zeros((32, 16), tl.float32)
    tl.store(y_ptr + tl.arange(0, 16)[:, None] + tl.arange(0, 16)[None, :], tl.dot(a, b))

def run(x, y):
    product[(1,)](x, y)
"""


@needs_triton
def test_triton_kernels_are_compiled_without_a_device(
    pytester, one_op: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No device is needed, so any CI with Triton finds what does not compile."""
    monkeypatch.delenv("TVM_FFI_CUDA_ARCH_LIST", raising=False)
    python = {**TRITON, "language": "python"}
    paths = [
        one_op.solution("fine", "norm", FINE, spec=TRITON),
        one_op.solution("in_python", "norm", FINE, spec=python),
        one_op.solution("nowhere", "norm", NOWHERE, spec=TRITON),
        one_op.solution("nowhere_in_python", "norm", NOWHERE, spec=python),
        one_op.solution("tuned", "norm", TUNED, spec=TRITON),
        one_op.solution("dot", "norm", DOT, spec=TRITON),
        one_op.solution("reads", "norm", READS, spec=TRITON),
        one_op.solution("stops", "norm", STOPS, spec=TRITON),
    ]
    report = one_op.root / "report.json"
    result = pytester.runpytest(
        "--fib-build-only", "-v", f"--fib-report={report}", *(f"--fib-solution={path}" for path in paths)
    )
    result.assert_outcomes(passed=5, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "*::fine::build PASSED*",
            "*::in_python::build PASSED*",
            "*::nowhere::build FAILED*",
            "*::nowhere_in_python::build FAILED*",
            "*::tuned::build PASSED*",
            "*::dot::build FAILED*",
            "*::reads::build PASSED*",
            "*::stops::build PASSED*",
            "COMPILE_ERROR",
            "*Triton kernel twice does not compile for compute capability 9.0: main.py, line 9",
            "*NameError('nowhere is not defined')",
            "*Triton kernel product does not compile for compute capability 9.0: main.py, line 8",
            "*input and other must have equal reduction dimensions",
            "remark on reads: twice compiled with made-up values for what run reads at main.py, line 12",
            "remark on stops: twice not compiled: without a device run stops at main.py, line 12 (TypeError: *",
            "fib: 5 built with 4 Triton kernels for compute capability 9.0, 3 failed without a verdict",
        ]
    )
    builds = {build["solution"]: build for build in json.loads(report.read_text())["builds"]}
    assert builds["fine"]["kernels"] == ["twice"]
    assert builds["fine"]["architecture"] == "9.0"
    assert builds["stops"]["kernels"] == []
    assert len(builds["stops"]["remarks"]) == 1


@needs_triton
def test_what_cannot_be_compiled_ahead_is_remarked_and_what_ends_the_compiler_is_not(
    pytester, one_op: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TVM_FFI_CUDA_ARCH_LIST", "8.0 9.0a")
    ends = FINE.replace("def run(x, y):\n", "def run(x, y):\n    os.abort()\n")
    # What runs while a kernel is compiled, as a compiler that gives up would.
    crashes = f"{FINE}\ntwice.add_pre_run_hook(lambda *args, **kwargs: os.abort())\n"
    sized = FINE.replace(
        "def run", "SIZES = torch.empty(4, device='cuda').untyped_storage().nbytes()\n\ndef run"
    )
    no_device = FINE.replace("def run", "assert not torch.cuda.is_available()\n\ndef run")
    solutions = {"ends": ends, "crashes": crashes, "sized": sized, "no_device": no_device}
    paths = [one_op.solution(name, "norm", text, spec=TRITON) for name, text in solutions.items()]
    result = pytester.runpytest("--fib-build-only", "-v", *(f"--fib-solution={path}" for path in paths))
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*::crashes::build FAILED*",
            "*Triton kernel twice does not compile: the candidate process was killed by SIGABRT while compiling",
            "remark on ends: what it launches is not known: the candidate process was killed by SIGABRT *",
            "remark on no_device: no Triton kernel was compiled: without a device it does not load (AssertionError)",
            "fib: 3 built with 1 Triton kernel for compute capability 8.0, 1 failed without a verdict",
        ]
    )
