"""What the figures show: steps, sizes, orders, and never a number that is none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.html import curves, floor, forest, sizes, spread
from pytest_fib.report.html.budget import fit, size
from pytest_fib.report.html.markup import Markup
from pytest_fib.report.html.plot import steps
from pytest_fib.report.reading import read_run
from pytest_fib.report.run import Result, Run

Make = Callable[..., dict[str, Any]]
SPEEDUPS = st.lists(st.floats(1e-3, 1e3), max_size=30)


@pytest.fixture
def run_of(measured: Make, traced: Make, reported: Make) -> Callable[..., Run]:
    """A run of one result per set of changes; ``axes`` and ``reference`` go into the trace."""

    def make(*changes: dict[str, Any]) -> Run:
        measurements, traces = [], []
        for index, change in enumerate(changes):
            given = dict(change)
            axes, reference = given.pop("axes", {"batch_size": 2**index}), given.pop("reference", 0.05)
            measurements.append(measured(f"w{index}", **given))
            traces.append(traced(measurements[-1], reference, **axes))
        return read_run(reported(measurements, traces))

    return make


def check(markup: Markup) -> ElementTree.Element:
    """The markup is well formed and every coordinate is a number."""
    assert not re.search(r"nan|inf\b", markup)
    return ElementTree.fromstring(f"<div>{markup}</div>")


@given(SPEEDUPS, st.integers(1, 10))
def test_fast_p_falls_from_the_share_that_passed_to_none(speedups: list[float], failed: int) -> None:
    judged = len(speedups) + failed
    curve = curves.fast_p(speedups, judged)
    assert curve[0] == (0.0, len(speedups) / judged)
    assert curve[-1][1] == 0
    for p in (0.5, 1.0, *speedups):
        # The height of the staircase at p is the share that is faster than p.
        assert [share for at, share in curve if at <= p][-1] == sum(s > p for s in speedups) / judged


def test_the_staircase_falls_where_the_curve_does() -> None:
    pixels = [(0.0, 10.0), (5.0, 20.0), (7.0, 30.0)]
    assert 'd="M0 10H5V20H7V30"' in steps(pixels, "s0")


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=200))
def test_an_ecdf_says_which_share_is_not_above_a_value(samples: list[float]) -> None:
    curve = spread.ecdf(samples)
    assert len(curve) <= 41
    assert curve[-1] == (max(samples), 1.0)
    ordered = sorted(samples)
    assert all(ordered[round(share * len(samples)) - 1] == value for value, share in curve)


@given(st.lists(st.text(max_size=20).map(Markup), max_size=20), st.integers(0, 200))
def test_what_is_kept_fits_and_the_rest_is_counted(pieces: list[Markup], limit: int) -> None:
    kept, left_out = fit(pieces, limit)
    assert sum(map(size, kept)) <= limit
    assert len(kept) + left_out == len(pieces)


def test_size_is_the_axis_that_latency_follows(run_of: Callable[..., Run]) -> None:
    shapes = [(1, 64, 1.0), (2, 8, 2.0), (4, 32, 4.0), (8, 16, 8.0)]
    run = run_of(*({"axes": {"rows": r, "n": n, "h": 4}, "latency_ms": ms} for r, n, ms in shapes))
    found = sizes.find_size(run.results)
    assert found == sizes.Size(("rows",))
    run = run_of(*({"axes": {"rows": r, "n": n}, "latency_ms": float(r * n)} for r, n, _ in shapes))
    found = sizes.find_size(run.results)
    assert found is not None
    assert found.name == "rows × n"
    assert sizes.find_size(run_of({"axes": {"rows": 3}}, {"axes": {"rows": 3}}).results) is None


def test_latency_is_shown_against_size_with_what_is_known_beside_it(run_of: Callable[..., Run]) -> None:
    gate = {"baseline_latency_ms": 0.02}
    run = run_of({"floor_ms": 0.001, "gate": gate}, {"floor_ms": 0.002, "gate": gate, "latency_ms": 0.03})
    (drawn,) = sizes.figures(run.by_definition())
    titles = [title.text for title in check(drawn).iter("title")]
    assert titles == [
        "mine, 1: 12.5 µs",
        "mine, 2: 30.0 µs",
        "reference, 1: 50.0 µs",
        "reference, 2: 50.0 µs",
        "baseline, 1: 20.0 µs",
        "baseline, 2: 20.0 µs",
    ]
    assert 'class="l floor"' in drawn
    assert "batch_size" in drawn


def test_the_forest_is_sorted_and_says_ratio_interval_and_verdict(run_of: Callable[..., Run]) -> None:
    run = run_of(
        {"ratio": 0.9, "ratio_ci": [0.88, 0.92], "verdict": "FASTER"},
        {"ratio": 1.1, "ratio_ci": [1.05, 1.15], "verdict": "SLOWER"},
        {},
    )
    rows = forest.compared(run.results)
    assert [row.verdict for row in rows] == ["SLOWER", "FASTER"]
    root = check(forest.plot(rows, 0.02))
    texts = ["".join(found.itertext()) for found in root.iter("text")]
    assert "1.100 [1.050, 1.150] SLOWER" in texts
    assert "margin ±2.0%" in texts
    slower, faster = (
        float(found.get("d", "M0").split()[0][1:])
        for found in root.iter("path")
        if found.get("class") in ("p bad", "p good")
    )
    assert slower > faster


def test_a_result_that_hides_in_noise_is_no_pass(run_of: Callable[..., Run]) -> None:
    noisy = {"verdict": "AMBIGUOUS", "ratio": 1.1, "gate": {"unsteady": True}, "failure": "UNSTEADY: so"}
    (result,) = run_of(noisy).results
    assert (result.outcome, result.green) == ("UNSTEADY", False)


@pytest.mark.parametrize(("count", "most"), [(3, 60), (60, 60), (61, 60), (500, 60), (500, 6)])
def test_of_many_the_slowest_and_the_fastest_are_shown(
    run_of: Callable[..., Run], count: int, most: int
) -> None:
    everything = forest.compared(run_of(*({"ratio": 1 + index / 1000} for index in range(count))).results)
    rows = forest.ends(everything, most)
    assert len(rows) == min(count, most)
    assert len({row.workload for row in rows}) == len(rows)
    assert rows[0] is everything[0]
    if count >= most:
        assert rows[-1] is everything[-1]


def test_the_roofline_has_what_has_a_floor_and_the_line_that_nothing_is_below(
    run_of: Callable[..., Run],
) -> None:
    assert floor.figures(run_of({}).results) == []
    (drawn,) = floor.figures(run_of({"floor_ms": 0.005}, {"floor_ms": 0.0001}, {}).results)
    titles = [title.text for title in check(drawn).iter("title")]
    assert titles == [
        "mine, w0: 12.5 µs, 40% of the floor's speed",
        "mine, w1: 12.5 µs, 1% of the floor's speed",
    ]
    assert 'class="l floor"' in drawn


def test_samples_of_what_the_gate_did_not_clear_come_first(run_of: Callable[..., Run]) -> None:
    run = run_of(
        {"latency_ci95_ms": [0.001, 0.1]}, {}, {"verdict": "SLOWER", "ratio": 1.2}, {"samples_ms": []}
    )
    workloads = spread.most_telling(run.by_definition())
    assert [results[0].workload for results in workloads] == ["w2", "w0", "w1"]
    drawn = list(spread.figures(workloads))
    assert len(drawn) == 3
    for figure in drawn:
        check(figure)


def test_blocks_of_a_gate_are_drawn_as_ratios(run_of: Callable[..., Run]) -> None:
    stage = {"candidate_ms": [1.1, 1.2, 1.3], "baseline_ms": [1.0, 1.0, None]}
    run = run_of({"gate": {"stages": [stage]}})
    assert run.results[0].blocks == pytest.approx((1.1, 1.2))
    (drawn,) = spread.figures(spread.most_telling(run.by_definition()))
    assert "in each block" in drawn
    check(drawn)


@given(st.lists(st.tuples(st.floats(1e-90, 1e90), st.floats(1e-90, 1e90)), min_size=1, max_size=6))
def test_any_latencies_can_be_drawn(pairs: list[tuple[float, float]]) -> None:
    entries = [
        {
            "definition": "d",
            "workload": str(index),
            "solution": "s",
            "status": "PASSED",
            "latency_ms": latency,
            "floor_ms": least,
            "ratio": latency,
            "samples_ms": [latency, least],
        }
        for index, (latency, least) in enumerate(pairs)
    ]
    traces = [
        {"definition": "d", "solution": "s", "workload": {"uuid": str(i), "axes": {"n": i + 1}}}
        for i in range(len(pairs))
    ]
    run = read_run({"measurements": entries, "traces": traces})
    groups = run.by_definition()
    drawn = [
        *sizes.figures(groups),
        *curves.figures(groups),
        *floor.figures(run.results),
        *spread.figures(spread.most_telling(groups)),
        forest.plot(forest.compared(run.results), run.margin),
    ]
    for figure in drawn:
        check(figure)


def test_a_result_is_as_wide_as_its_interval(run_of: Callable[..., Run]) -> None:
    result: Result = run_of({"latency_ms": 1.0, "latency_ci95_ms": [0.9, 1.2]}).results[0]
    assert math.isclose(result.spread, 0.3)


def test_samples_are_split_as_the_report_says(run_of: Callable[..., Run]) -> None:
    run = run_of(
        {"samples_ms": [1.0, 2.0, None, 4.0], "samples_per_trial": [1, 3]},
        {"samples_ms": [1.0, 2.0], "samples_per_trial": [1, 3]},
    )
    assert [result.trials for result in run.results] == [((1.0,), (2.0, 4.0)), ((1.0, 2.0),)]
