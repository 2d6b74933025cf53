"""``--fib-build-only``: one item per solution, which builds and loads it and runs nothing."""

from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING

import pytest

from pytest_fib.judge.zygote import search_path

if TYPE_CHECKING:
    from conftest import Project

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
