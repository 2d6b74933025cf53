"""Building without running: what does not compile or import is found, and nothing is called."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pytest_fib.build import BuildError, torch_binding
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge import JudgeSession, libraries
from pytest_fib.judge.building import examples_of
from pytest_fib.judge.orders import check_buildable, check_supported, order_for, runs_on_gpu
from pytest_fib.judge.zygote import search_path

from .conftest import CPP, SCALE_ADD, Judge, in_call, solution, workload
from .test_cuda import CUDA_SOURCE, cuda_solution

CPP_WITH_CUTLASS = """
#include <cutlass/cutlass.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
void run(tvm::ffi::TensorView, tvm::ffi::TensorView, double, tvm::ffi::TensorView) { cutlass_marker(); }
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""

EXTENSION_SOURCE = """
#include <ATen/core/Tensor.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

void run(const at::Tensor& x, const at::Tensor& w, double bias, at::Tensor y) {
  const float *a = x.const_data_ptr<float>(), *b = w.const_data_ptr<float>();
  float* c = y.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) c[i] = a[i] * b[i % w.numel()] + static_cast<float>(bias);
}

at::Tensor twice(const at::Tensor& x) { return x.add(x); }

TORCH_LIBRARY(scale_add, m) { m.def("run(Tensor x, Tensor w, float bias, Tensor(a!) y) -> ()", &run); }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("twice", &twice); }
"""


def make_cutlass(folder: Path) -> None:
    """Something that looks like CUTLASS from afar."""
    header = folder / "include" / "cutlass" / "cutlass.h"
    header.parent.mkdir(parents=True)
    header.write_text("#pragma once\ninline void cutlass_marker() {}\n")


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


def test_libraries_that_cannot_be_linked_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("tvm_ffi")
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    with pytest.raises(NotJudgeable, match="nccl cannot be linked"):
        check_buildable(cuda_solution(dependencies=["nccl"]).solution)
    monkeypatch.setattr(libraries, "_SYSTEM", ())
    monkeypatch.setattr(libraries, "_PACKAGES", ())
    with pytest.raises(NotJudgeable, match=r"headers of CUTLASS are not on this machine.*CUTLASS_PATH"):
        check_buildable(cuda_solution(dependencies=["CUTLASS"]).solution)
    make_cutlass(tmp_path)
    monkeypatch.setenv("CUTLASS_PATH", str(tmp_path))
    check_buildable(cuda_solution(dependencies=["cutlass", "cublas"]).solution)


def test_headers_come_with_the_solution_that_depends_on_them(
    session: JudgeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder is neither the system's nor a package's, so it has to be shown to the candidate."""
    pytest.importorskip("tvm_ffi")
    make_cutlass(tmp_path)
    monkeypatch.setenv("CUTLASS_PATH", str(tmp_path))
    built = session.try_build(SCALE_ADD, solution(CPP_WITH_CUTLASS, language="cpp", dependencies=["cutlass"]))
    assert not built.log


NAMES = [
    "a name.cc",
    "$in.cpp",
    "a|b & c.cc",
    "größe #1.cpp",
    "it's.cc",
    'so "called".cc',
    "a > b.cc",
    "sub folder/50%.cxx",
]


def test_sources_may_have_any_name(judge: Judge) -> None:
    """Neither ninja nor a shell finds something to interpret in it, and it includes what lies beside it."""
    pytest.importorskip("tvm_ffi")
    sources = {}
    for number, name in enumerate(NAMES[1:]):
        beside = f"{name.rpartition('/')[0]}/beside {number}.h".lstrip("/")
        sources[name] = f'#include "beside {number}.h"\nint part_{number}() {{ return PART; }}\n'
        sources[beside] = f"#define PART {number}\n"
    parts = [f"part_{number}" for number in range(len(sources) // 2)]
    declared = "".join(f"int {part}();\n" for part in parts)
    total = " + ".join(f"{part}()" for part in parts)
    entry = CPP.replace(" * b[i % 64]", f" * b[i % 64] * ({total} == {sum(range(len(parts)))})")
    assert entry != CPP
    evaluation = judge(solution({NAMES[0]: declared + entry, **sources}, language="cpp"))
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log


def test_a_name_that_cannot_be_included_is_told(judge: Judge) -> None:
    pytest.importorskip("tvm_ffi")
    evaluation = judge(solution({'"a">b.cc': CPP}, language="cpp"))
    assert evaluation.status is EvaluationStatus.COMPILE_ERROR
    assert "cannot be included: give the file a name without quotes" in evaluation.log
    assert "Traceback" not in evaluation.log


def test_a_source_may_be_called_like_a_header_of_the_system(judge: Judge) -> None:
    pytest.importorskip("tvm_ffi")
    own = {"vector": "#error not meant", "string.h": "#error not meant", "math.h": "#include_next <math.h>\n"}
    sources = {
        "main.cc": '#include "math.h"\n#include <vector>\n#include <kernel.h>\n',
        "kernel.h": CPP,
        **own,
    }
    evaluation = judge(solution(sources, language="cpp"))
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log


def test_a_torch_extension_is_called_as_operator_or_as_function_of_its_module(
    session: JudgeSession, judge: Judge
) -> None:
    extension = solution(EXTENSION_SOURCE, language="cpp", binding="torch", destination_passing_style=True)
    evaluation = judge(extension)
    assert evaluation.status is EvaluationStatus.PASSED, evaluation.log
    folder, seconds = session.build(SCALE_ADD, extension)
    assert seconds == 0
    order = order_for(SCALE_ADD, extension.solution, artifact_dir=folder, threads=1)
    assert torch_binding.load(replace(order, entry_symbol="twice"))(torch.ones(2)).tolist() == [2.0, 2.0]
    with pytest.raises(BuildError, match="no 'thrice'"):
        torch_binding.load(replace(order, entry_symbol="thrice"))


def test_a_torch_extension_for_cuda_needs_a_torch_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(NotJudgeable, match="binding torch need a torch that was built for CUDA"):
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


def test_kernels_are_compiled_for_the_smallest_and_the_largest_workload_first() -> None:
    examples = examples_of(SCALE_ADD, [workload(rows) for rows in (5, 3, 9, 1, 7, 4, 2, 8, 6, 5)])
    assert [example.outputs[0].shape for example in examples] == [(rows, 64) for rows in (1, 9, 5, 3, 7)]
    assert examples[0].inputs[2] == 0.5
    assert len(examples_of(SCALE_ADD, [workload(3)])) == 1


def test_workloads_without_shapes_are_no_examples() -> None:
    broken = workload(3).model_copy(update={"axes": {}})
    assert examples_of(SCALE_ADD, [broken]) == ()
    float4 = SCALE_ADD.model_copy(
        update={
            "inputs": {
                **SCALE_ADD.inputs,
                "w": SCALE_ADD.inputs["w"].model_copy(update={"dtype": "float4_e2m1"}),
            }
        }
    )
    assert examples_of(float4, [workload(3)]) == ()
