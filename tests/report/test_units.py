from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_fib.report.units import (
    MISSING,
    format_bytes,
    format_elapsed,
    format_error,
    format_interval,
    format_latency,
    format_ratio,
)

IN_MS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}
latencies = st.floats(1e-7, 1e7)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, MISSING),
        (0.0, "0 ns"),
        (3.2e-5, "32.0 ns"),
        (0.012345, "12.3 µs"),
        (0.9996, "1.00 ms"),
        (0.9994, "999 µs"),
        (1.0, "1.00 ms"),
        (75.0, "75.0 ms"),
        (123456.0, "123 s"),
        (math.inf, "inf"),
        (-0.001, "-1.00 µs"),
    ],
)
def test_latency(ms: float | None, text: str) -> None:
    assert format_latency(ms) == text


@given(latencies)
def test_latency_reads_back_within_its_three_digits(ms: float) -> None:
    number, unit = format_latency(ms).split()
    assert math.isclose(float(number) * IN_MS[unit], ms, rel_tol=0.00501)


@given(latencies.filter(lambda ms: 1e-6 <= ms < 9.9e5))
def test_latency_never_needs_more_than_seven_columns(ms: float) -> None:
    text = format_latency(ms)
    assert re.fullmatch(r"\d{1,3}(\.\d{1,2})? (ns|µs|ms|s)", text)
    assert len(text) <= 7


@given(st.floats() | st.none(), st.none() | st.tuples(st.floats(), st.floats()))
@example(1.7976931348623157e308, (0.0, 1.7976931348623157e308))
@example(5e-324, (0.0, 5e-324))
def test_any_numbers_become_one_line(ms: float | None, interval: tuple[float, float] | None) -> None:
    for text in (format_interval(ms, interval), format_latency(ms), format_ratio(ms), format_error(ms)):
        assert text
        assert text.isprintable()


def test_interval_shows_its_larger_half_in_the_same_unit() -> None:
    assert format_interval(0.0125, (0.0121, 0.0130)) == "12.5 ± 0.50 µs"
    assert format_interval(0.0125, None) == "12.5 µs"
    assert format_interval(1.5, (1.5, 1.5)) == "1.50 ± 0 ms"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, MISSING), (3.7149, "3.71x"), (0.5, "0.500x"), (1234.5, "1230x"), (5.4e6, "5.40e+06x")],
)
def test_ratio(ratio: float | None, text: str) -> None:
    assert format_ratio(ratio) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [(None, MISSING), (0.0, "0"), (0.00123, "1.2e-03"), (math.inf, "inf"), (math.nan, "nan")],
)
def test_error(error: float | None, text: str) -> None:
    assert format_error(error) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3723.9, "1:02:03")])
def test_elapsed(seconds: float, text: str) -> None:
    assert format_elapsed(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1000 << 10, "0.977 MiB"), (3 << 29, "1.50 GiB")],
)
def test_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text
