from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.board import Failures, Standing, ranked, standing, together
from pytest_fib.measure.estimate import Estimate

NEAR = 0.01


def about(value: float) -> Estimate:
    return Estimate(value, (value * (1 - NEAR), value * (1 + NEAR)))


def score(failures: Failures, **speedups: float | None) -> Standing:
    table = {name: None if value is None else about(value) for name, value in speedups.items()}
    return standing("me", table, ["a", "b"], failures)


def test_means_and_wins_of_a_known_case() -> None:
    found = score("solution", a=4.0, b=1.0)
    assert found.arithmetic.value == pytest.approx(2.5)
    assert found.geometric.value == pytest.approx(2.0)
    assert (found.win_rate, found.passed, found.workloads) == (0.5, 2, 2)


def test_what_a_failure_costs() -> None:
    whole, part = score("solution", a=4.0, b=None), score("workload", a=4.0, b=None)
    assert (whole.arithmetic.value, whole.geometric.value) == (0.0, 0.0)
    assert (part.arithmetic.value, part.geometric.value) == (2.0, 0.0)
    assert (whole.win_rate, whole.passed) == (part.win_rate, part.passed) == (0.5, 1)


def test_a_workload_that_is_not_there_is_no_failure() -> None:
    found = score("solution", a=4.0)
    assert found.arithmetic.value == 4.0
    assert (found.passed, found.workloads) == (1, 2)


def test_the_board_is_in_order_and_ties_share_ranks() -> None:
    standings = [
        standing(name, {"a": about(value)}, ["a"], "solution")
        for name, value in (("slow", 1.0), ("equal", 3.0), ("best", 3.02), ("partial", 9.0))
    ]
    board = ranked(standings, [True, True, True, False], "arithmetic")
    assert [(each.name, each.ranks) for each in board] == [
        ("best", (1, 2)),
        ("equal", (1, 2)),
        ("slow", (3, 3)),
        ("partial", None),
    ]


def test_a_definition_without_a_solution_counts_zero() -> None:
    one = standing("v1", {"a": about(4.0)}, ["a"], "solution")
    found = together("ada", [one, None])
    assert found.name == "ada"
    assert found.arithmetic.value == 2.0
    assert found.win_rate == 0.5


@given(st.dictionaries(st.sampled_from("abcdef"), st.one_of(st.none(), st.floats(0.1, 100)), min_size=1))
def test_the_two_rules_agree_where_nothing_failed_and_are_ordered_elsewhere(
    speedups: dict[str, float | None],
) -> None:
    table = {name: None if value is None else about(value) for name, value in speedups.items()}
    strict, mild = (standing("me", table, list(table), rule) for rule in ("solution", "workload"))
    if None in speedups.values():
        assert strict.arithmetic.value == 0 <= mild.arithmetic.value
    else:
        assert strict == mild
        assert mild.geometric.value <= mild.arithmetic.value * (1 + 1e-9)
