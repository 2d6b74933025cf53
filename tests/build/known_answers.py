"""Compares the literal answers of ``triton_selfcheck`` with what torch computes; prints ``agreed``."""

from __future__ import annotations

import torch

from pytest_fib.build import triton_selfcheck as selfcheck

DTYPES = {"bf16": torch.bfloat16, "fp8e4nv": torch.float8_e4m3fn, "fp8e5": torch.float8_e5m2}


def read(text: str, dtype: torch.dtype) -> torch.Tensor:
    storage = torch.uint8 if dtype.itemsize == 1 else torch.int32
    patterns = torch.tensor([int(item, 16) for item in text.split()], dtype=storage)
    return (patterns if dtype.itemsize == 1 else patterns.to(torch.int16)).view(dtype)


def expect(name: str, literal: torch.Tensor, computed: torch.Tensor) -> None:
    agree = (literal.float() == computed.float()) | (literal.float().isnan() & computed.float().isnan())
    assert agree.all(), (name, literal.tolist(), computed.tolist())


for case in selfcheck.NARROW_CASES:
    dtype = DTYPES[case.name]
    x, y = read(case.x, dtype).float(), read(case.y, dtype).float()
    computed = {
        "add": x + y,
        "subtract": x - y,
        "multiply": x * y,
        "negate": -x,
        "compare": torch.minimum(x, y),
        "where": torch.where(x == y, y, x + 1),
        "constant": torch.full((8,), 1.5),
        "cumsum": x.cumsum(0),
        "sum": x.sum().expand(8),
        "max": x.max().expand(8),
        "argmin": x.argmin().float().expand(8),
        "masked load": torch.cat([x[:4], torch.full((4,), 1.5)]),
    }
    assert [name for name, _ in case.answers] == list(computed)
    for name, literal in case.answers:
        expect(f"{case.name} {name}", read(literal, dtype), computed[name].to(dtype))
    numbers = torch.tensor(case.numbers)
    expect(f"{case.name} nearest", read(case.nearest, dtype), numbers.to(dtype))
    expect(f"{case.name} values", torch.tensor(case.values), numbers.to(dtype).float())
    expect(f"{case.name} factors", read(case.factors, dtype), torch.tensor(selfcheck.FACTORS))

x, y = read(selfcheck.CONVERSION_X, torch.bfloat16), read(selfcheck.CONVERSION_Y, torch.bfloat16)
conversions = {
    "bf16 divide": x / y,
    "int32 to bf16": (torch.arange(8) * 100 + 1).bfloat16(),
    "bool to bf16": (x > 1).bfloat16(),
    "fp32 exp2 to bf16": torch.exp2(-x.float()).bfloat16(),
}
assert [name for name, _ in selfcheck.CONVERSIONS] == list(conversions)
for name, literal in selfcheck.CONVERSIONS:
    expect(name, read(literal, torch.bfloat16), conversions[name])
expect("bf16 to fp16", read(selfcheck.HALVES, torch.float16), x.half())
expect("bf16 to int32", torch.tensor(selfcheck.INTEGERS[0][1]), x.int())
expect("bf16 compare", torch.tensor(selfcheck.INTEGERS[1][1]), (x >= y).int())
sums = torch.zeros(2, dtype=torch.bfloat16)
for i in range(8):
    sums[i % 2] += x[i]
expect("bf16 atomic add", read(selfcheck.ATOMIC_SUMS, torch.bfloat16), sums)
print("agreed")
