"""Numbers as people read them: latencies, intervals, ratios, errors, elapsed time."""

from __future__ import annotations

import math

MISSING = "–"

_UNITS = (("ns", 1e6), ("µs", 1e3), ("ms", 1.0), ("s", 1e-3))


def format_latency(ms: float | None) -> str:
    """Return a latency given in milliseconds with three significant digits and the unit that suits it."""
    if ms is None:
        return MISSING
    if not math.isfinite(ms):
        return str(ms)
    unit, per_ms = _unit_of(ms)
    return f"{_significant(ms * per_ms, 3)} {unit}"


def format_interval(ms: float | None, ci95_ms: tuple[float, float] | None) -> str:
    """Return a latency with the larger half of its interval, both in one unit, as in ``12.3 ± 0.4 µs``."""
    if ms is None or ci95_ms is None or not math.isfinite(ms):
        return format_latency(ms)
    low, high = ci95_ms
    half = max(high - ms, ms - low, 0.0)
    if not math.isfinite(half):
        return format_latency(ms)
    unit, per_ms = _unit_of(ms)
    return f"{_significant(ms * per_ms, 3)} ± {_significant(half * per_ms, 2)} {unit}"


def format_ratio(ratio: float | None) -> str:
    """Return a speedup with three significant digits, as in ``3.71x``."""
    if ratio is None:
        return MISSING
    return f"{_significant(ratio, 3)}x" if math.isfinite(ratio) else f"{ratio}x"


def format_error(error: float | None) -> str:
    """Return an absolute or relative error, as in ``1.2e-03``."""
    if error is None:
        return MISSING
    return f"{error:.1e}" if math.isfinite(error) and error != 0 else f"{error:g}"


def format_bytes(count: int) -> str:
    """Return a size with three significant digits and the binary unit that suits it, as in ``1.50 GiB``."""
    if count < 1024:
        return f"{count} B"
    sizes = [(count / 1024**power, unit) for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)]
    value, unit = next((size for size in sizes if _rounded(size[0], 3) < 1000), sizes[-1])
    return f"{_significant(value, 3)} {unit}"


def format_elapsed(seconds: float) -> str:
    """Return whole seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def _unit_of(ms: float) -> tuple[str, float]:
    """The smallest unit that shows the value below 1000 after rounding."""
    for unit, per_ms in _UNITS:
        if _rounded(abs(ms) * per_ms, 3) < 1000:
            return unit, per_ms
    return _UNITS[-1]


def _rounded(value: float, digits: int) -> float:
    rounded = float(f"{value:.{digits - 1}e}")
    return rounded if math.isfinite(rounded) else value  # the largest floats round up to infinity


def _significant(value: float, digits: int) -> str:
    value = _rounded(value, digits)
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)  # half an interval that is out of proportion
    exponent = math.floor(math.log10(abs(value)))
    if exponent >= 6 or exponent < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - exponent)}f}"
