from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pytest_fib.inputs.dtypes import TORCH, bits_of, empty_bits, from_bits
from pytest_fib.inputs.keys import Stream
from pytest_fib.inputs.pool import FULL, HEAVY, SCALABLE, SIZE, SPARSE, UNIFORM, WINDOW, Pool, unit_rows

SECRET = bytes(range(32))
STREAM = Stream(SECRET, "test")


def draw(pool: Pool, content: str, numel: int, call: int = 0) -> torch.Tensor:
    dtype = torch.float32 if content == UNIFORM else TORCH[content]
    bits = empty_bits(numel, dtype)
    pool.fill(bits, content, STREAM.digest(call))
    return from_bits(bits, dtype, (numel,))


FLOATS = [name for name, dtype in TORCH.items() if dtype.is_floating_point]


@pytest.mark.parametrize("name", FLOATS)
def test_floats_are_normal_and_finite(pool: Pool, name: str) -> None:
    values = draw(pool, name, 300_000).to(torch.float64)
    assert torch.isfinite(values).all()
    assert abs(values.mean()) < 0.01
    clamped = TORCH[name].itemsize == 1
    assert values.std() == pytest.approx(0.96 if clamped else 1.0, abs=0.02)
    assert (values.abs().max() <= 2) == clamped
    within = (values.abs() <= 1).double().mean()
    assert within == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.07 if clamped else 0.01)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("int8", -128, 128),
        ("uint8", 0, 256),
        ("int16", -1024, 1024),
        ("int32", -1024, 1024),
        ("int64", -1024, 1024),
        ("bool", 0, 2),
    ],
)
def test_integers_cover_their_range_evenly(pool: Pool, name: str, low: int, high: int) -> None:
    values = draw(pool, name, 300_000).to(torch.int64).numpy()
    counts = np.bincount(values - low, minlength=high - low)
    assert counts.size == high - low
    expected = values.size / counts.size
    # Deviations of a uniform draw are about sqrt(expected); six of them are a fault.
    assert np.abs(counts - expected).max() < 6 * math.sqrt(expected)


def test_uniform_content_is_uniform_in_one_to_two(pool: Pool) -> None:
    values = draw(pool, UNIFORM, 300_000)
    assert values.min() >= 1
    assert values.max() < 2
    counts = torch.histc(values, 16, 1, 2)
    assert (counts - 300_000 / 16).abs().max() < 6 * math.sqrt(300_000 / 16)


@pytest.mark.parametrize("name", list(TORCH))
@pytest.mark.parametrize("numel", [0, 1, 5, WINDOW, WINDOW + 1, 3 * WINDOW - 7])
def test_any_number_of_elements_is_filled_repeatably(pool: Pool, name: str, numel: int) -> None:
    first = draw(pool, name, numel)
    second = np.full_like(bits_of(first), -1 if first.dtype.itemsize > 1 else 255)
    pool.fill(second, name, STREAM.digest(0))
    assert (second == bits_of(first)).all()


def test_content_depends_on_the_secret_and_on_the_digest() -> None:
    one, same, other = Pool(SECRET), Pool(SECRET), Pool(bytes(32))
    assert torch.equal(draw(one, "float16", 100), draw(same, "float16", 100))
    assert not torch.equal(draw(one, "float16", 100), draw(other, "float16", 100))
    assert not torch.equal(draw(one, "float16", 100), draw(one, "float16", 100, call=1))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "bfloat16", "int32"])
def test_content_does_not_come_back_within_thousands_of_calls(pool: Pool, name: str) -> None:
    seen = {bits_of(draw(pool, name, 24, call)).tobytes() for call in range(3000)}
    assert len(seen) == 3000


def test_windows_of_a_long_tensor_differ(pool: Pool) -> None:
    values = draw(pool, "float8_e4m3fn", 40 * WINDOW).view(torch.uint8).view(40, WINDOW)
    heads = {tuple(row[:64].tolist()) for row in values}
    assert len(heads) == 40


def test_neighbouring_elements_are_uncorrelated(pool: Pool) -> None:
    values = draw(pool, "float32", 200_000).double()
    for lag in (1, 2, 64):
        assert abs((values[:-lag] * values[lag:]).mean()) < 0.015


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("length", [1, 3, 128, 1000])
@pytest.mark.parametrize("rows", [0, 1, 7, 2500])
def test_rows_are_directions_of_norm_one(pool: Pool, name: str, length: int, rows: int) -> None:
    bits = empty_bits(rows * length, TORCH[name])
    pool.fill(bits, unit_rows(length, name), STREAM.digest(0))
    values = from_bits(bits, TORCH[name], (rows, length)).double()
    assert torch.allclose(values.norm(dim=1), torch.ones(rows, dtype=torch.float64), atol=0.01)
    again = np.empty_like(bits)
    pool.fill(again, unit_rows(length, name), STREAM.digest(0))
    assert (again == bits).all()


def test_directions_are_different_and_have_no_preference(pool: Pool) -> None:
    bits = empty_bits(5000 * 64, torch.bfloat16)
    pool.fill(bits, unit_rows(64, "bfloat16"), STREAM.digest(1))
    rows = from_bits(bits, torch.bfloat16, (5000, 64)).double()
    assert len({row.tobytes() for row in rows.numpy()}) == 5000
    covariance = rows.T @ rows / 5000
    assert torch.allclose(covariance, torch.eye(64, dtype=torch.float64) / 64, atol=0.002)


def test_directions_may_come_from_all_of_the_pool(pool: Pool) -> None:
    length = SIZE // 2 // 10
    rows = set()
    for call in range(60):
        bits = empty_bits(length, torch.float32)
        pool.fill(bits, unit_rows(length, "float32"), STREAM.digest(call))
        rows.add(np.abs(bits.view(np.float32)).tobytes())
    assert len(rows) > 15


@pytest.mark.parametrize(
    ("content", "power"),
    [
        *((name, 0) for name in TORCH),
        (UNIFORM, 0),
        (f"{HEAVY}float16", 0),
        (f"{SPARSE}bfloat16", 0),
        (f"{FULL}float8_e4m3fn", 0),
        (unit_rows(96, "bfloat16"), 0),
        (unit_rows(3, "bfloat16"), 0),
        (f"{SCALABLE}bfloat16", -5),
        (f"{SCALABLE}float32", 3),
    ],
)
@pytest.mark.parametrize("numel", [0, 96, WINDOW // 96 * 96, 290 * WINDOW // 96 * 96])
def test_a_device_makes_the_same_bits(pool: Pool, content: str, power: int, numel: int) -> None:
    dtype = torch.float32 if content == UNIFORM else TORCH[content.split()[-1]]
    count = numel if dtype.itemsize == 1 else numel // dtype.itemsize // 96 * 96
    here, there = pool.empty((count,), dtype), torch.zeros(count, dtype=dtype)
    pool.write(here, content, STREAM.digest(3), power)
    pool.on(torch.device("cpu")).write(there, content, STREAM.digest(3), power)
    assert (bits_of(here) == bits_of(there)).all()


def test_a_device_is_given_the_pool_once(pool: Pool) -> None:
    device = torch.device("cpu")
    assert pool.on(device) is pool.on(device)
    assert pool.on(device).device == device
