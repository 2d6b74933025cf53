"""Triton kernels in narrow floats against torch; ``test_triton_interpreter`` runs this with TRITON_INTERPRET=1.

Prints one JSON object: the name of each case and what is wrong with it (an empty text if nothing is).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import sys
import traceback
from collections.abc import Callable
from unittest.mock import patch

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from pytest_fib.build.triton_interpreter import ensure_correct

CASES: dict[str, Callable[[], str]] = {}
NARROW = {"bf16": torch.bfloat16, "fp8e4nv": torch.float8_e4m3fn, "fp8e5": torch.float8_e5m2}
GENERATOR = torch.Generator().manual_seed(20240607)


def case(function: Callable[[], str]) -> Callable[[], str]:
    CASES[function.__name__] = function
    return function


def randn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR).to(dtype)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[tensor.element_size()])


def same(what: str, got: torch.Tensor, expected: torch.Tensor) -> str:
    """Nothing if both are equal to the bit (any NaN equals any NaN), else how many are not and the first."""
    numbers = torch.isnan(got.float()) & torch.isnan(expected.float())
    wrong = (bits(got) != bits(expected)) & ~numbers
    if not wrong.any():
        return ""
    where = tuple(int(i) for i in wrong.nonzero()[0])
    first = f"{got[where].item()} for {expected[where].item()}"
    return f"{what}: {int(wrong.sum())} differ, first {where}: {first}; "


def close(what: str, got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> str:
    error = (got.float() - expected.float()).abs().max().item()
    return "" if error <= tolerance else f"{what}: off by {error}; "


@triton.jit
def _binary(x_ptr, y_ptr, out_ptr, OP: tl.constexpr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    x, y = tl.load(x_ptr + at), tl.load(y_ptr + at)
    if OP == "add":
        out = x + y
    elif OP == "sub":
        out = x - y
    elif OP == "mul":
        out = x * y
    elif OP == "div":
        out = x / y
    elif OP == "max":
        out = tl.maximum(x, y)
    elif OP == "min":
        out = tl.minimum(x, y)
    elif OP == "less":
        out = tl.where(x < y, x, y)
    elif OP == "clamp":
        out = tl.clamp(x, -1.0, 1.0)
    else:
        out = tl.fma(x, y, x)
    tl.store(out_ptr + at, out)


TORCH_BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
    "less": lambda x, y: torch.where(x < y, x, y),
    "fma": lambda x, y: (x.double() * y.double() + x.double()).float(),
}


@case
def arithmetic_is_float32_rounded_once() -> str:
    wrong = ""
    for name, dtype in NARROW.items():
        x, y = randn(1024, dtype=dtype), randn(1024, dtype=dtype)
        y = torch.where(y.float() == 0, 1.0, y.float()).to(dtype)
        for op, expected in TORCH_BINARY.items():
            if op == "div" and name != "bf16":
                continue  # Triton has no division of float8
            out = torch.zeros_like(x)
            _binary[(2,)](x, y, out, OP=op, N=512)
            wrong += same(f"{name} {op}", out, expected(x.float(), y.float()).to(dtype))
    return wrong


@case
def clamp_in_bf16() -> str:
    x = randn(512, dtype=torch.bfloat16)
    out = torch.zeros_like(x)
    _binary[(1,)](x, x, out, OP="clamp", N=512)
    return same("clamp", out, x.clamp(-1, 1))


@case
def fp16_is_as_it_was() -> str:
    x, y = randn(512, dtype=torch.float16), randn(512, dtype=torch.float16)
    wrong = ""
    for op in ("add", "mul", "max", "less"):
        out = torch.zeros_like(x)
        _binary[(1,)](x, y, out, OP=op, N=512)
        wrong += same(f"fp16 {op}", out, TORCH_BINARY[op](x, y))
    return wrong


@triton.jit
def _cast(x_ptr, out_ptr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(out_ptr + at, tl.load(x_ptr + at).to(out_ptr.dtype.element_ty))


def cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    out = torch.zeros(x.shape, dtype=dtype)
    block = min(x.numel(), 1 << 16)
    _cast[(x.numel() // block,)](x, out, N=block)
    return out


@case
def float32_to_bf16_rounds_to_nearest_even() -> str:
    patterns = torch.randint(-(2**31), 2**31, (1 << 18,), generator=GENERATOR, dtype=torch.int64).to(
        torch.int32
    )
    ties = torch.arange(1 << 16, dtype=torch.int32) * 65536 + 32768
    numbers = torch.cat([patterns, ties]).view(torch.float32)
    return same("random and ties", cast(numbers, torch.bfloat16), numbers.to(torch.bfloat16))


@case
def every_half_to_float8() -> str:
    halves = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16).float()
    wrong = ""
    for name, dtype in (("e4m3fn", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)):
        fits = torch.where(halves.abs() <= torch.finfo(dtype).max, halves, 1.0)
        wrong += same(name, cast(fits, dtype), fits.to(dtype))
        wrong += same(f"{name} from fp16", cast(fits.half(), dtype), fits.half().to(dtype))
        wrong += same(f"{name} from bf16", cast(fits.bfloat16(), dtype), fits.bfloat16().to(dtype))
    return wrong


@case
def float8_saturates_as_on_nvidia() -> str:
    huge = torch.tensor([1e9, -1e9, float("inf"), float("-inf")])
    wrong = close("e4m3fn", cast(huge, torch.float8_e4m3fn), torch.tensor([448.0, -448, 448, -448]), 0)
    return wrong + close("e5m2", cast(huge, torch.float8_e5m2), torch.tensor([57344.0, -57344] * 2), 0)


@case
def every_pattern_to_wider_floats() -> str:
    octets = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    wrong = ""
    dtypes = [torch.float8_e4m3fn, torch.float8_e5m2]
    if tuple(map(int, triton.__version__.split(".")[:2])) > (3, 6):  # 3.6 refuses AMD's float8
        dtypes += [torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
    for dtype in dtypes:
        narrow = octets.view(dtype)
        wrong += same(f"{dtype} to float32", cast(narrow, torch.float32), narrow.float())
        wrong += same(f"{dtype} to bfloat16", cast(narrow, torch.bfloat16), narrow.bfloat16())
    all_bf16 = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    wrong += same("bf16 to float32", cast(all_bf16, torch.float32), all_bf16.float())
    return wrong + same("bf16 to float16", cast(all_bf16, torch.float16), all_bf16.half())


@case
def integers_to_bf16() -> str:
    whole = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32) * 37
    back = cast(whole.to(torch.bfloat16), torch.int32)
    return same("int32 to bf16", cast(whole, torch.bfloat16), whole.to(torch.bfloat16)) + same(
        "bf16 to int32", back, whole.to(torch.bfloat16).to(torch.int32)
    )


@triton.jit
def _matmul(a_ptr, b_ptr, c_ptr, K, M: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr):
    m, n = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    total = tl.zeros((M, N), tl.float32)
    for start in range(0, K, BLOCK):
        k = start + tl.arange(0, BLOCK)
        a = tl.load(a_ptr + m * K + k[None, :])
        b = tl.load(b_ptr + tl.arange(0, N)[:, None] * K + k[None, :])
        total += tl.dot(a, tl.trans(b))
    tl.store(c_ptr + m * N + n, total)


@case
def dot() -> str:
    wrong = ""
    for name, dtype in {**NARROW, "fp16": torch.float16}.items():
        a, b = randn(32, 128, dtype=dtype), randn(16, 128, dtype=dtype)
        out = torch.zeros(32, 16)
        _matmul[(1,)](a, b, out, 128, M=32, N=16, BLOCK=32)
        wrong += close(f"{name} dot", out, a.float() @ b.float().T, 1e-4)
    return wrong


@triton.jit
def _softmax(x_ptr, out_ptr, n, N: tl.constexpr):
    at = tl.arange(0, N)
    row = tl.program_id(0) * n
    x = tl.load(x_ptr + row + at, mask=at < n, other=-float("inf"))
    e = tl.exp((x - tl.max(x, 0)).to(tl.float32))
    tl.store(out_ptr + row + at, (e / tl.sum(e, 0)).to(tl.bfloat16), mask=at < n)


@case
def softmax_in_bf16() -> str:
    x = randn(4, 100, dtype=torch.bfloat16)
    out = torch.zeros_like(x)
    _softmax[(4,)](x, out, 100, N=128)
    return close("softmax", out, torch.softmax(x.float(), -1), 1e-3)


@triton.jit
def _larger_of(x, y):
    return tl.where(x > y, x, y)


@triton.jit
def _reductions(x_ptr, out_ptr, index_ptr, sorted_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at)
    tl.store(out_ptr, tl.sum(x))
    tl.store(out_ptr + 1, tl.max(x))
    tl.store(out_ptr + 2, tl.min(x))
    tl.store(out_ptr + 3, tl.reduce(x, 0, _larger_of))
    tl.store(out_ptr + 4 + at, tl.associative_scan(x, 0, _larger_of))
    tl.store(index_ptr, tl.argmax(x, 0))
    tl.store(index_ptr + 1, tl.argmin(x, 0))
    tl.store(sorted_ptr + at, tl.sort(x))


@case
def reductions_scans_and_sort_in_bf16() -> str:
    x = randn(32, dtype=torch.bfloat16)
    out, ordered = torch.zeros(36, dtype=torch.bfloat16), torch.zeros_like(x)
    index = torch.zeros(2, dtype=torch.int32)
    _reductions[(1,)](x, out, index, ordered, N=32)
    expected = torch.stack([x.float().sum().bfloat16(), x.max(), x.min(), x.max()])
    return (
        same("sum, max, min, reduce", out[:4], expected)
        + same("scan", out[4:], x.cummax(0).values)
        + same("arg", index, torch.stack([x.argmax(), x.argmin()]).to(torch.int32))
        + same("sort", ordered, x.sort().values)
    )


@triton.jit
def _scatter_add(x_ptr, at_ptr, out_ptr, old_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at)
    old = tl.atomic_add(out_ptr + tl.load(at_ptr + at), x, mask=at % 4 != 3)
    tl.store(old_ptr + at, old, mask=at % 4 != 3)


@case
def atomic_add_with_repeated_addresses() -> str:
    x = torch.arange(16).to(torch.bfloat16)
    places = (torch.arange(16) % 3).to(torch.int32)
    out, old = torch.full((3,), 0.5, dtype=torch.bfloat16), torch.zeros(16, dtype=torch.bfloat16)
    expected, seen = out.clone(), torch.zeros_like(old)
    for i in range(16):
        if i % 4 != 3:
            seen[i] = expected[places[i]]
            expected[places[i]] += x[i]
    _scatter_add[(1,)](x, places, out, old, N=16)
    return same("sums", out, expected) + same("old values", old, seen)


@triton.autotune(
    configs=[triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128}, num_warps=8)],
    key=["n"],
    restore_value=["x_ptr"],
)
@triton.jit
def _double(x_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x_ptr + at, tl.load(x_ptr + at, mask=at < n) * 2, mask=at < n)


@case
def autotune_runs_the_kernel_once() -> str:
    x = randn(200, dtype=torch.bfloat16)
    expected = x * 2
    _double[lambda meta: (triton.cdiv(200, meta["BLOCK"]),)](x, 200)
    return same("doubled", x, expected)


@triton.jit
def _device_functions(x_ptr, out_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + at, libdevice.tanh(x))
    tl.store(out_ptr + N + at, libdevice.rsqrt(libdevice.abs(x)))
    tl.store(out_ptr + 2 * N + at, libdevice.pow(libdevice.fast_expf(x), 2.0))
    tl.store(out_ptr + 3 * N + at, tl.where(libdevice.isnan(x), 1.0, 0.0))
    wide = x.to(tl.float32)
    tl.store(out_ptr + 4 * N + at, tl.sigmoid(wide))
    tl.store(out_ptr + 5 * N + at, tl.rsqrt(tl.exp2(wide) + tl.log2(tl.abs(wide) + 1.0)))


@case
def math_functions() -> str:
    wrong = ""
    for dtype in (torch.float32, torch.bfloat16):
        x = randn(64, dtype=dtype)
        out = torch.zeros(6, 64)
        _device_functions[(1,)](x, out, N=64)
        w = x.float()
        rest = torch.stack([torch.sigmoid(w), torch.rsqrt(torch.exp2(w) + torch.log2(w.abs() + 1))])
        square = w.exp().to(dtype).float().square()
        expected = torch.stack([w.tanh(), w.abs().rsqrt(), square, torch.zeros(64)])
        wrong += close(
            f"libdevice in {dtype}", out[:4] / expected.clamp_min(1), expected / expected.clamp_min(1), 4e-3
        )
        wrong += close(f"tl.math for {dtype}", out[4:], rest, 1e-5)
    return wrong


@triton.jit
def _absent_function(x_ptr):
    tl.store(x_ptr, libdevice.erfcx(tl.load(x_ptr)))


@case
def other_libdevice_functions_say_so() -> str:
    try:
        _absent_function[(1,)](torch.zeros(1))
    except Exception as error:
        return "" if "libdevice.erfcx is not available" in str(error) else str(error)
    return "no error"


@triton.jit
def _edge(x_ptr, out_ptr, n, N: tl.constexpr):
    desc = tl.make_tensor_descriptor(x_ptr, [n], [1], [N], padding_option="nan")
    tl.store(out_ptr + tl.arange(0, N), desc.load([0]))


@case
def nan_padding_of_bf16() -> str:
    x = randn(16, dtype=torch.bfloat16)
    out = torch.zeros(32, dtype=torch.bfloat16)
    _edge[(1,)](x, out, 16, N=32)
    return same(
        "inside and outside", out, torch.cat([x, torch.full((16,), float("nan"), dtype=torch.bfloat16)])
    )


@triton.jit
def _show(x_ptr):
    tl.device_print("value", tl.load(x_ptr))


@case
def printing_shows_numbers() -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        _show[(1,)](torch.tensor([1.5], dtype=torch.bfloat16))
    return "" if "1.5" in shown.getvalue() else shown.getvalue()


@case
def the_language_is_looked_through_once_and_put_back() -> str:
    x = randn(4, 16, dtype=torch.bfloat16)
    out = torch.empty_like(x)
    before = tl.load, tl.tensor.__add__, tl.math.exp
    _softmax[(4,)](x, out, 16, N=16)
    with patch.object(inspect, "getmembers", wraps=inspect.getmembers) as look:
        _softmax[(4,)](x, out, 16, N=16)
    if look.called:
        return f"{look.call_count} times in a second launch"
    return "" if (tl.load, tl.tensor.__add__, tl.math.exp) == before else "the interpreter's functions stayed"


def outcome(function: Callable[[], str]) -> str:
    try:
        return function()
    except Exception:
        return traceback.format_exc()


if __name__ == "__main__":
    results = {"ensure_correct": str(ensure_correct() or "")}
    results.update({name: outcome(function) for name, function in CASES.items()})
    json.dump(results, sys.stdout)
