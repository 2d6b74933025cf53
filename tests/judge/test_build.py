"""Building without running: what does not compile or import is found, and nothing is called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_fib.errors import NotJudgeable
from pytest_fib.judge import JudgeSession
from pytest_fib.judge.orders import check_buildable, check_supported, runs_on_gpu
from pytest_fib.judge.zygote import search_path

from .conftest import SCALE_ADD, in_call, solution
from .test_cuda import CUDA_SOURCE, cuda_solution


def test_what_imports_is_fine_and_is_not_called(session: JudgeSession) -> None:
    built = session.try_build(SCALE_ADD, solution(in_call("os._exit(3)")))
    assert not built.log
    assert built.seconds > 0


def test_what_does_not_import_says_why(session: JudgeSession) -> None:
    built = session.try_build(SCALE_ADD, solution("print('hello')\nimport no_such_module\n"))
    assert "no_such_module" in built.log
    assert "hello" in built.output


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_compiler_output_is_shown(session: JudgeSession) -> None:
    pytest.importorskip("tvm_ffi")
    assert "error" in session.try_build(SCALE_ADD, solution("int run( {", language="cpp")).log


def test_cuda_sources_need_a_compiler_and_an_architecture(
    session: JudgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tvm_ffi")
    monkeypatch.delenv("TVM_FFI_CUDA_ARCH_LIST", raising=False)
    wanted = "TVM_FFI_CUDA_ARCH_LIST" if shutil.which("nvcc", path=search_path()) else "the command nvcc"
    with pytest.raises(NotJudgeable, match=wanted):
        session.try_build(SCALE_ADD, cuda_solution())


@pytest.mark.skipif(shutil.which("nvcc", path=search_path()) is None, reason="needs nvcc")
def test_cuda_sources_compile_without_a_device(
    session: JudgeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("tvm_ffi")
    monkeypatch.setenv("TVM_FFI_CUDA_ARCH_LIST", "9.0a")
    assert not session.try_build(SCALE_ADD, cuda_solution()).log
    assert (
        "error" in session.try_build(SCALE_ADD, cuda_solution(CUDA_SOURCE.replace("long at", "lung at"))).log
    )


def test_libraries_that_cannot_be_linked_are_refused_by_name() -> None:
    with pytest.raises(NotJudgeable, match="cutlass"):
        check_buildable(cuda_solution(dependencies=["cutlass"]).solution)


def test_binding_torch_is_refused() -> None:
    with pytest.raises(NotJudgeable, match="binding torch"):
        check_buildable(cuda_solution(binding="torch").solution)


def test_cuda_sources_are_not_judged_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tvm_ffi")
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    with pytest.raises(NotJudgeable, match="NVIDIA GPU"):
        check_supported(SCALE_ADD, cuda_solution().solution)


def test_who_names_more_than_a_cpu_runs_on_a_gpu() -> None:
    assert not runs_on_gpu(solution().solution)
    assert runs_on_gpu(solution(target_hardware=["cpu", "NVIDIA H200"]).solution)
    assert runs_on_gpu(cuda_solution().solution)
