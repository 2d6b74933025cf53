"""Kernels with known answers: what Triton's CPU interpreter computes in this process for bfloat16 and float8.

The expected bit patterns are literals, worked out apart from the code that repairs the interpreter (the tests
compare them with torch). Kernels get the addresses of numpy arrays as integers: no tensor library is needed.
"""

# Triton reads a kernel's annotations as its own types, so kernels carry none.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator,misc"

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray

_WIDTH = 8


@triton.jit
def _pointer(address, DTYPE: tl.constexpr):
    # An address below 2**31, as a Python that is not position-independent has on its heap, arrives as an int32.
    return address.to(tl.int64).to(tl.pointer_type(DTYPE))


@triton.jit
def _arithmetic(x_address, y_address, out_address, DTYPE: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(_pointer(x_address, DTYPE) + at)
    y = tl.load(_pointer(y_address, DTYPE) + at)
    out = _pointer(out_address, DTYPE) + at
    tl.store(out, x + y)
    tl.store(out + N, x - y)
    tl.store(out + 2 * N, x * y)
    tl.store(out + 3 * N, -x)
    tl.store(out + 4 * N, tl.where(x < y, x, y))
    tl.store(out + 5 * N, tl.where(x == y, y, x + 1.0))
    tl.store(out + 6 * N, tl.full((N,), 1.5, DTYPE))
    tl.store(out + 7 * N, tl.cumsum(x, 0))
    tl.store(out + 8 * N, tl.zeros((N,), DTYPE) + tl.sum(x, 0))
    tl.store(out + 9 * N, tl.zeros((N,), DTYPE) + tl.max(x, 0).to(DTYPE))
    tl.store(out + 10 * N, tl.argmin(x, 0).to(tl.float32).to(DTYPE) + tl.zeros((N,), DTYPE))
    tl.store(out + 11 * N, tl.load(_pointer(x_address, DTYPE) + at, mask=at < 4, other=1.5))


@triton.jit
def _rounding(x_address, out_address, back_address, DTYPE: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(_pointer(x_address, tl.float32) + at)
    narrow = x.to(DTYPE)
    tl.store(_pointer(out_address, DTYPE) + at, narrow)
    tl.store(_pointer(back_address, tl.float32) + at, narrow.to(tl.float32))


@triton.jit
def _product(x_address, y_address, out_address, n, DTYPE: tl.constexpr):
    row = tl.arange(0, 4)[:, None]
    column = tl.arange(0, 2)[None, :]
    x = tl.load(_pointer(x_address, DTYPE) + row * 2 + column)
    y = tl.load(_pointer(y_address, DTYPE) + row * 2 + column)
    total = tl.zeros((4, 4), tl.float32)
    for _ in range(0, n, 1):
        total = tl.dot(x, tl.trans(y), total)
    tl.store(_pointer(out_address, tl.float32) + row * 4 + tl.arange(0, 4)[None, :], total)


@triton.jit
def _bf16_conversions(
    x_address, y_address, out_address, half_address, int_address, sum_address, N: tl.constexpr
):
    at = tl.arange(0, N)
    x = tl.load(_pointer(x_address, tl.bfloat16) + at)
    y = tl.load(_pointer(y_address, tl.bfloat16) + at)
    out = _pointer(out_address, tl.bfloat16) + at
    integers = _pointer(int_address, tl.int32) + at
    tl.store(out, x / y)
    tl.store(out + N, (at * 100 + 1).to(tl.bfloat16))
    tl.store(out + 2 * N, (x.to(tl.float32) > 1.0).to(tl.bfloat16))
    tl.store(out + 3 * N, tl.exp2(-x.to(tl.float32)).to(tl.bfloat16))
    tl.store(_pointer(half_address, tl.float16) + at, x.to(tl.float16))
    tl.store(integers, x.to(tl.int32))
    tl.store(integers + N, (x >= y).to(tl.int32))
    tl.atomic_add(_pointer(sum_address, tl.bfloat16) + at % 2, x)


@triton.autotune(configs=[triton.Config({"WIDTH": 8}), triton.Config({"WIDTH": 4})], key=["n"])
@triton.jit
def _tuned(out_address, n, WIDTH: tl.constexpr):
    at = tl.arange(0, WIDTH)
    tl.store(_pointer(out_address, tl.int32) + at, at + WIDTH)


@dataclass(frozen=True)
class NarrowCase:
    """One narrow float: inputs and right answers as bit patterns in hexadecimal.

    ``answers`` are what ``_arithmetic`` writes for ``x`` and ``y``, row by row; ``nearest`` are ``numbers``
    rounded, ``values`` the same as float32; ``factors`` are the patterns of ``FACTORS``.
    """

    name: str
    dtype: Any
    storage: Any
    x: str
    y: str
    answers: tuple[tuple[str, str], ...]
    numbers: tuple[float, ...]
    nearest: str
    values: tuple[float, ...]
    factors: str


FACTORS = (1.0, 2.0, -3.0, 0.5, 4.0, -1.0, 1.5, 0.0)
_NAN = float("nan")
_INF = float("inf")
NARROW_CASES = (
    NarrowCase(
        name="bf16",
        dtype=tl.bfloat16,
        storage=np.uint16,
        x="3f80 c020 4049 3a83 437a bf40 42c0 3c00",
        y="3c40 3fc0 4049 c0e0 3fc0 3f00 3f40 3bfc",
        answers=(
            ("add", "3f82 bf80 40c9 c0e0 437c be80 42c2 3c7e"),
            ("subtract", "3f7d c080 0000 40e0 4378 bfa0 42be 3900"),
            ("multiply", "3c40 c070 411e bbe5 43bc bec0 4290 387c"),
            ("negate", "bf80 4020 c049 ba83 c37a 3f40 c2c0 bc00"),
            ("compare", "3c40 c020 4049 c0e0 3fc0 bf40 3f40 3bfc"),
            ("where", "4000 bfc0 4049 3f80 437b 3e80 42c2 3f81"),
            ("constant", "3fc0 3fc0 3fc0 3fc0 3fc0 3fc0 3fc0 3fc0"),
            ("cumsum", "3f80 bfc0 3fd2 3fd2 437c 437b 43ad 43ad"),
            ("sum", "43ad 43ad 43ad 43ad 43ad 43ad 43ad 43ad"),
            ("max", "437a 437a 437a 437a 437a 437a 437a 437a"),
            ("argmin", "3f80 3f80 3f80 3f80 3f80 3f80 3f80 3f80"),
            ("masked load", "3f80 c020 4049 3a83 3fc0 3fc0 3fc0 3fc0"),
        ),
        numbers=(1.00390625, 1.01171875, -2.0078, 3.4e38, -0.0, 1e-40, 0.3, 1e30),
        nearest="3f80 3f82 c000 7f80 8000 0001 3e9a 714a",
        values=(1.0, 1.015625, -2.0, _INF, -0.0, 2.0**-133, 0.30078125, 1.0002555517425873e30),
        factors="3f80 4000 c040 3f00 4080 bf80 3fc0 0000",
    ),
    NarrowCase(
        name="fp8e4nv",
        dtype=tl.float8e4nv,
        storage=np.uint8,
        x="38 c2 45 18 6d b4 6c 01",
        y="24 3c 45 ce 46 30 34 02",
        answers=(
            ("add", "3a b8 4d ce 6d a8 6c 03"),
            ("subtract", "35 c8 00 4e 6d ba 6c 81"),
            ("multiply", "24 c7 53 ae 7b ac 69 00"),
            ("negate", "b8 42 c5 98 ed 34 ec 81"),
            ("compare", "24 c2 45 ce 46 b4 34 01"),
            ("where", "40 bc 45 38 6d 28 6c 38"),
            ("constant", "3c 3c 3c 3c 3c 3c 3c 3c"),
            ("cumsum", "38 bc 3e 3e 6d 6d 75 75"),
            ("sum", "75 75 75 75 75 75 75 75"),
            ("max", "6d 6d 6d 6d 6d 6d 6d 6d"),
            ("argmin", "38 38 38 38 38 38 38 38"),
            ("masked load", "38 c2 45 18 3c 3c 3c 3c"),
        ),
        numbers=(1.0625, 1.1875, -2.3, 1000.0, -0.0, 0.0029, 0.3, _NAN),
        nearest="38 3a c1 7e 80 01 2a 7f",
        values=(1.0, 1.25, -2.25, 448.0, -0.0, 0.001953125, 0.3125, _NAN),
        factors="38 40 c4 30 48 b8 3c 00",
    ),
    NarrowCase(
        name="fp8e5",
        dtype=tl.float8e5,
        storage=np.uint8,
        x="3c c1 42 2c 67 ba 56 01",
        y="36 3e 42 c7 43 38 3a 03",
        answers=(
            ("add", "3e bc 46 c7 67 b4 56 04"),
            ("subtract", "39 c4 00 47 67 bd 56 82"),
            ("multiply", "36 c4 48 b7 6e b6 54 00"),
            ("negate", "bc 41 c2 ac e7 3a d6 81"),
            ("compare", "36 c1 42 c7 43 ba 3a 01"),
            ("where", "40 be 42 3c 67 34 56 3c"),
            ("constant", "3e 3e 3e 3e 3e 3e 3e 3e"),
            ("cumsum", "3c be 3e 3e 67 67 67 67"),
            ("sum", "67 67 67 67 67 67 67 67"),
            ("max", "67 67 67 67 67 67 67 67"),
            ("argmin", "3c 3c 3c 3c 3c 3c 3c 3c"),
            ("masked load", "3c c1 42 2c 3e 3e 3e 3e"),
        ),
        numbers=(1.125, 1.375, -2.3, 50000.0, -0.0, 2e-5, 0.3, _NAN),
        nearest="3c 3e c1 7a 80 01 35 7f",
        values=(1.0, 1.5, -2.5, 49152.0, -0.0, 2.0**-16, 0.3125, _NAN),
        factors="3c 40 c2 38 44 bc 3e 00",
    ),
)
CONVERSION_X, CONVERSION_Y = NARROW_CASES[0].x, NARROW_CASES[0].y
CONVERSIONS = (
    ("bf16 divide", "42ab bfd5 3f80 b916 4327 bfc0 4300 3f82"),
    ("int32 to bf16", "3f80 42ca 4349 4396 43c8 43fa 4416 442f"),
    ("bool to bf16", "0000 0000 3f80 0000 3f80 0000 3f80 0000"),
    ("fp32 exp2 to bf16", "3f00 40b5 3de8 3f80 0000 3fd7 0f80 3f7f"),
)
HALVES = "3c00 c100 4248 1418 5bd0 ba00 5600 2000"
INTEGERS = (
    ("bf16 to int32", (1, -2, 3, 0, 250, 0, 96, 0)),
    ("bf16 compare to int32", (1, 0, 1, 1, 1, 0, 1, 1)),
)
# Each sum rounded: 1 + 3.140625 = 4.125, + 250 = 254, + 96 = 350; -2.5 + 0.001 = -2.5, - 0.75 + 0.0078 = -3.25
ATOMIC_SUMS = "43af c050"


def self_check() -> tuple[str, ...]:
    """The names of what this process' interpreter gets wrong, such as ``bf16 add``; empty if it is right."""
    checks: list[tuple[str, Callable[[], Iterator[tuple[str, bool]]]]] = [
        (f"{case.name} {what}", lambda case=case, check=check: check(case))
        for case in NARROW_CASES
        for what, check in (("arithmetic", _check_arithmetic), ("casts", _check_casts), ("dot", _check_dot))
    ]
    checks += [("bf16 conversions", _check_conversions), ("autotune", _check_autotune)]
    return tuple(name for what, check in checks for name in _wrong(what, check))


def _wrong(what: str, check: Callable[[], Iterator[tuple[str, bool]]]) -> list[str]:
    try:
        return [name for name, right in check() if not right]
    except Exception as error:  # an unknown interpreter may raise anything; all of it means "do not trust"
        return [f"{what} ({type(error).__name__})"]


def _check_arithmetic(case: NarrowCase) -> Iterator[tuple[str, bool]]:
    x, y = _patterns(case.x, case.storage), _patterns(case.y, case.storage)
    out = np.zeros((len(case.answers), _WIDTH), case.storage)
    _arithmetic[(1,)](*_addresses(x, y, out), DTYPE=case.dtype, N=_WIDTH)
    for row, (name, answer) in zip(out, case.answers, strict=True):
        yield f"{case.name} {name}", bool((row == _patterns(answer, case.storage)).all())


def _check_casts(case: NarrowCase) -> Iterator[tuple[str, bool]]:
    numbers = np.array(case.numbers, np.float32)
    out, back = np.zeros(_WIDTH, case.storage), np.zeros(_WIDTH, np.float32)
    _rounding[(1,)](*_addresses(numbers, out, back), DTYPE=case.dtype, N=_WIDTH)
    yield f"fp32 to {case.name}", bool((out == _patterns(case.nearest, case.storage)).all())
    yield f"{case.name} to fp32", np.array_equal(back, np.array(case.values, np.float32), equal_nan=True)


def _check_dot(case: NarrowCase) -> Iterator[tuple[str, bool]]:
    factors = _patterns(case.factors, case.storage)
    out = np.zeros((4, 4), np.float32)
    _product[(1,)](*_addresses(factors, factors, out), 2, DTYPE=case.dtype)
    matrix = np.array(FACTORS, np.float32).reshape(4, 2)
    yield f"{case.name} dot", np.array_equal(out, 2 * (matrix @ matrix.T))


def _check_conversions() -> Iterator[tuple[str, bool]]:
    x, y = _patterns(CONVERSION_X, np.uint16), _patterns(CONVERSION_Y, np.uint16)
    out = np.zeros((len(CONVERSIONS), _WIDTH), np.uint16)
    halves, sums = np.zeros(_WIDTH, np.uint16), np.zeros(2, np.uint16)
    integers = np.zeros((len(INTEGERS), _WIDTH), np.int32)
    _bf16_conversions[(1,)](*_addresses(x, y, out, halves, integers, sums), N=_WIDTH)
    for row, (name, answer) in zip(out, CONVERSIONS, strict=True):
        yield name, bool((row == _patterns(answer, np.uint16)).all())
    for line, (name, numbers) in zip(integers, INTEGERS, strict=True):
        yield name, bool((line == np.array(numbers)).all())
    yield "bf16 to fp16", bool((halves == _patterns(HALVES, np.uint16)).all())
    yield "bf16 atomic add", bool((sums == _patterns(ATOMIC_SUMS, np.uint16)).all())


def _check_autotune() -> Iterator[tuple[str, bool]]:
    out = np.zeros(_WIDTH, np.int32)
    _tuned[(1,)](*_addresses(out), 1)
    yield "autotune", bool((out == np.arange(_WIDTH) + 8).all())


def _patterns(text: str, storage: Any) -> NDArray[Any]:
    return np.array([int(item, 16) for item in text.split()], dtype=storage)


def _addresses(*arrays: NDArray[Any]) -> list[int]:
    return [array.ctypes.data for array in arrays]
