"""CUDA inside the sandbox: the driver starts, Triton compiles, and nothing of the machine is opened for it."""

from __future__ import annotations

import importlib.util
import shutil
from typing import Any

import pytest

from pytest_fib.candidate.sandbox import nvidia_devices

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif("/dev/nvidiactl" not in nvidia_devices(), reason="there is no NVIDIA driver"),
]
Sandbox = Any

POLICY = {"devices": nvidia_devices(), "cuda": True}


def run_on_cuda() -> list[float]:
    import threading
    import time

    import torch

    start = time.perf_counter()
    x = torch.ones(1000, 1000, device="cuda")
    y = float((x @ x).sum())
    seen = []
    thread = threading.Thread(target=lambda: seen.append(float((x + x).sum())))
    thread.start()
    thread.join()
    return [y, *seen, time.perf_counter() - start]


def test_torch_runs_on_cuda(as_caller: Sandbox) -> None:
    outcome = as_caller(run_on_cuda, preimport=("torch",), policy=POLICY)
    assert outcome.returned is not None, outcome.raised
    assert outcome.returned[:2] == [1e9, 2e6]
    assert outcome.report.missing == ()


def compile_triton() -> list[float]:
    import pathlib
    import sys

    pathlib.Path("/tmp/kernels").mkdir()
    pathlib.Path("/tmp/kernels/doubling.py").write_text(
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef twice(x, n: tl.constexpr):\n"
        "    at = tl.arange(0, n)\n    tl.store(x + at, tl.load(x + at) * 2)\n"
    )
    sys.path.append("/tmp/kernels")
    import torch
    from doubling import twice

    x = torch.arange(4.0, device="cuda")
    twice[(1,)](x, 4)
    return x.tolist()


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_triton_compiles_and_runs(as_caller: Sandbox) -> None:
    outcome = as_caller(compile_triton, preimport=("torch",), policy=POLICY)
    assert outcome.returned == [0.0, 2.0, 4.0, 6.0], outcome.printed


def compile_with_torch() -> float:
    import torch

    return float(torch.compile(lambda x: torch.sin(x) * 0 + 2)(torch.ones(8, device="cuda")).sum())


def test_torch_compile_works(as_caller: Sandbox) -> None:
    outcome = as_caller(compile_with_torch, preimport=("torch",), policy=POLICY)
    assert outcome.returned == 16.0, outcome.printed


def compile_with_nvcc() -> int:
    import ctypes
    import pathlib
    import subprocess

    pathlib.Path("/tmp/k.cu").write_text(
        "__global__ void k(int* x) { *x = 42; }\n"
        'extern "C" int answer() { int* d; int h = 0; cudaMalloc(&d, 4); k<<<1, 1>>>(d);\n'
        "  cudaMemcpy(&h, d, 4, cudaMemcpyDeviceToHost); return h; }\n"
    )
    command = ["nvcc", "-arch=native", "-shared", "-Xcompiler", "-fPIC", "-o", "/tmp/k.so", "/tmp/k.cu"]
    subprocess.run(command, check=True, timeout=120)
    return int(ctypes.CDLL("/tmp/k.so").answer())


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_nvcc_works(as_caller: Sandbox) -> None:
    outcome = as_caller(compile_with_nvcc, policy=POLICY)
    assert outcome.returned == 42, outcome.printed


def write_through_handle(handle: str, offset: int) -> int:
    import ctypes

    class Handle(ctypes.Structure):
        _fields_ = (("raw", ctypes.c_ubyte * 64),)

    cuda = ctypes.CDLL("libcuda.so.1")
    context, pointer = ctypes.c_void_p(), ctypes.c_uint64()
    cuda.cuIpcOpenMemHandle_v2.argtypes = [ctypes.c_void_p, Handle, ctypes.c_uint]
    opened = Handle.from_buffer_copy(bytes.fromhex(handle))
    return (
        cuda.cuInit(0)
        or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
        or cuda.cuCtxSetCurrent(context)
        or cuda.cuIpcOpenMemHandle_v2(ctypes.addressof(pointer), opened, 1)
        or cuda.cuMemsetD32_v2(ctypes.c_uint64(pointer.value + offset), 77, ctypes.c_size_t(16))
        or cuda.cuCtxSynchronize()
    )


def test_memory_of_the_judge_can_be_mapped_and_written(as_caller: Sandbox) -> None:
    import ctypes

    import torch

    x = torch.zeros(1 << 20, dtype=torch.int32, device="cuda")
    torch.cuda.synchronize()
    handle = (ctypes.c_ubyte * 64)()
    driver, at, base = ctypes.CDLL("libcuda.so.1"), ctypes.c_uint64(x.data_ptr()), ctypes.c_uint64()
    assert driver.cuIpcGetMemHandle(handle, at) == 0
    # The handle is that of the whole allocation, which torch may have had for other tensors before.
    assert driver.cuMemGetAddressRange_v2(ctypes.byref(base), None, at) == 0
    outcome = as_caller(
        write_through_handle,
        policy=POLICY,
        handle=bytes(handle).hex(),
        offset=x.data_ptr() - base.value,
    )
    assert outcome.returned == 0, outcome.printed
    assert int(x[0]) == 77
