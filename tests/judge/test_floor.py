from __future__ import annotations

import pytest

from pytest_fib.border.arena import Plan, Region
from pytest_fib.judge.floor import DECLARED, Peaks, floor_ns

PEAKS = Peaks([10.0, 100.0])


def plan(
    inputs: dict[str, tuple[tuple[int, ...], str]], outputs: dict[str, tuple[tuple[int, ...], str]]
) -> Plan:
    return Plan(Region.plan(inputs, 1), Region.plan(outputs, 1), tuple(inputs), {}, False)


GEMM = plan({"A": ((8, 16), "float16"), "B": ((4, 16), "float16")}, {"C": ((8, 4), "float16")})


def test_a_floor_is_the_larger_of_memory_and_arithmetic() -> None:
    nbytes, operations = (8 * 16 + 4 * 16 + 8 * 4) * 2, 2 * 8 * 4 * 16
    assert floor_ns("gemm", GEMM, PEAKS, 1) == pytest.approx(max(nbytes / 10, operations / 100))
    assert floor_ns("gemm", GEMM, PEAKS, 4) == pytest.approx(max(nbytes / 10, operations / 100) / 4)


def test_an_op_type_that_declares_nothing_has_no_floor() -> None:
    assert floor_ns("gqa_paged", GEMM, PEAKS, 1) is None
    assert set(DECLARED) == {"rmsnorm", "gemm"}


def test_peaks_of_this_machine_are_generous() -> None:
    peaks = Peaks()
    assert 1 < peaks.bytes_per_ns < 1e5
    assert 1 < peaks.operations_per_ns < 1e6
