"""TorchScript, torch.compile, Triton, C++ with threads, OpenMP and ctypes."""

from __future__ import annotations

from redteam.cases import Honest

HONEST = (
    Honest(
        name="torchscript",
        dps=False,
        source="""
            import torch
            @torch.jit.script
            def run(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return torch.addcmul(b, x, w)
            """,
    ),
    Honest(
        name="torch_compile_without_inductor",
        dps=False,
        source="""
            import torch
            run = torch.compile(lambda x, w, b: torch.addcmul(b, x, w), backend="eager")
            """,
    ),
    Honest(
        name="torch_compile",
        dps=False,
        compiles=True,
        source="""
            import torch
            @torch.compile
            def run(x, w, b):
                return torch.addcmul(b, x, w)
            """,
    ),
    Honest(
        name="custom_operator",
        dps=False,
        source="""
            import torch
            @torch.library.custom_op("redteam::add", mutates_args=())
            def add(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return torch.addcmul(b, x, w)
            def run(x, w, b):
                return add(x, w, b)
            """,
    ),
    Honest(
        name="ctypes",
        source="""
            import ctypes, torch
            copy = ctypes.CDLL(None).memcpy
            copy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
            def run(x, w, b, y):
                z = torch.addcmul(b, x, w)
                copy(y.data_ptr(), z.data_ptr(), z.nbytes)
            """,
    ),
    Honest(
        name="triton",
        language="triton",
        source="""
            import triton, triton.language as tl
            @triton.jit
            def kernel(x, w, b, y, N: tl.constexpr):
                columns = tl.arange(0, N)
                row = tl.program_id(0) * N + columns
                value = tl.load(x + row) * tl.load(w + columns) + tl.load(b + columns)
                tl.store(y + row, value)
            def run(x, w, b, y):
                kernel[(x.shape[0],)](x, w, b, y, N=256)
            """,
    ),
    Honest(
        name="cpp_threads_joined",
        language="cpp",
        source="""
            #include <thread>
            #include <vector>
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            using tvm::ffi::TensorView;
            void Run(TensorView x, TensorView w, TensorView b, TensorView y) {
              float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
              float *Y = (float *)y.data_ptr();
              std::vector<std::thread> threads;
              for (int t = 0; t < 4; ++t)
                threads.emplace_back([=, rows = x.size(0)] {
                  for (int i = t; i < rows; i += 4)
                    for (int j = 0; j < 256; ++j) Y[i * 256 + j] = X[i * 256 + j] * W[j] + B[j];
                });
              for (auto &thread : threads) thread.join();
            }
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
    Honest(
        name="cpp_openmp",
        language="cpp",
        source="""
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            using tvm::ffi::TensorView;
            void Run(TensorView x, TensorView w, TensorView b, TensorView y) {
              float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
              float *Y = (float *)y.data_ptr();
              #pragma omp parallel for
              for (int i = 0; i < x.numel(); ++i) Y[i] = X[i] * W[i % 256] + B[i % 256];
            }
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
    Honest(
        name="cpp_prints_and_allocates",
        language="cpp",
        source="""
            #include <cstdio>
            #include <iostream>
            #include <vector>
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            using tvm::ffi::TensorView;
            static std::vector<float> workspace;
            void Run(TensorView x, TensorView w, TensorView b, TensorView y) {
              float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
              workspace.resize(x.numel());
              for (int i = 0; i < x.numel(); ++i) workspace[i] = X[i] * W[i % 256] + B[i % 256];
              std::copy(workspace.begin(), workspace.end(), (float *)y.data_ptr());
              std::printf("done with %zu values\\n", workspace.size());
              std::cerr << "{\\"verdict\\": \\"FAILED\\"}" << std::endl;
            }
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
)
