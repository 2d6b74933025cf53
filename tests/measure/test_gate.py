from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.gate import (
    FIRST_ALPHA,
    LEAST_BLOCKS,
    MOST_BLOCKS,
    SECOND_ALPHA,
    Finding,
    blocks_for,
    confirmed,
    find,
    find_first,
    find_of_numbers,
    find_of_suite,
    find_second,
    is_unsteady,
    log_ratios,
    power,
    scatter_of,
    smallest_detectable,
)

ratios = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=25)
margins = st.floats(0.0, 0.5)
latencies = st.lists(st.floats(1e-4, 1e4), min_size=5, max_size=25)


class TestFind:
    @given(ratios, margins)
    def test_the_verdict_is_where_the_interval_lies(self, values: list[float], margin: float) -> None:
        found = find(values, margin)
        allowed = math.log1p(margin)
        assert found.low <= found.centre <= found.high
        expected = {
            "SLOWER": found.low > allowed,
            "FASTER": found.high < -allowed,
            "SAME": -allowed <= found.low and found.high <= allowed,
        }
        assert [name for name, holds in expected.items() if holds] == (
            [] if found.verdict == "AMBIGUOUS" else [found.verdict]
        )

    @given(ratios, margins)
    def test_exchanging_the_two_exchanges_the_verdicts(self, values: list[float], margin: float) -> None:
        mirrored = {"SLOWER": "FASTER", "FASTER": "SLOWER", "SAME": "SAME", "AMBIGUOUS": "AMBIGUOUS"}
        found, other = find(values, margin), find([-value for value in values], margin)
        assert other.verdict == mirrored[found.verdict]
        assert other.ratio == pytest.approx(1 / found.ratio)

    @given(ratios, margins, st.floats(0, 0.5))
    def test_being_slower_in_every_block_never_helps(
        self, values: list[float], margin: float, more: float
    ) -> None:
        found, slower = find(values, margin), find([value + more for value in values], margin)
        assert slower.low >= found.low - 1e-9
        assert slower.high >= found.high - 1e-9

    @given(ratios, margins, margins)
    def test_a_larger_margin_makes_nothing_slower(
        self, values: list[float], margin: float, other: float
    ) -> None:
        low, high = sorted((margin, other))
        assert find(values, low).verdict == "SLOWER" or find(values, high).verdict != "SLOWER"

    @given(latencies, st.floats(1e-3, 1e3))
    def test_the_unit_does_not_matter(self, values: list[float], factor: float) -> None:
        other = list(reversed(values))
        plain = log_ratios(values, other)
        scaled = log_ratios([value * factor for value in values], [value * factor for value in other])
        assert scaled == pytest.approx(plain, abs=1e-9)

    def test_a_known_case(self) -> None:
        found = find([0.04, 0.05, 0.06], 0.02)  # mean 0.05, standard error 0.01 / sqrt(3), t = 2.920
        assert found.low == pytest.approx(0.05 - 2.920 * 0.01 / math.sqrt(3), abs=1e-5)
        assert found.verdict == "SLOWER"
        assert find([0.04, 0.05, 0.06], 0.02, SECOND_ALPHA).verdict == "AMBIGUOUS"  # t = 6.965


class TestPlannedFromTheData:
    """The first seven blocks decide how many there are."""

    @given(st.lists(st.floats(-0.5, 0.5), min_size=7, max_size=25), margins)
    def test_says_no_more_than_the_plain_interval(self, values: list[float], margin: float) -> None:
        planned, plain = find_first(values, margin), find(values, margin)
        assert planned.low <= plain.low + 1e-12
        assert planned.high >= plain.high - 1e-12
        assert planned.verdict in (plain.verdict, "AMBIGUOUS")
        if len(values) == LEAST_BLOCKS:
            assert planned == plain

    @given(st.lists(st.floats(-0.5, 0.5), min_size=7, max_size=25))
    def test_calm_blocks_later_do_not_shrink_the_scatter(self, values: list[float]) -> None:
        assert scatter_of(values) >= scatter_of(values[:LEAST_BLOCKS])
        assert scatter_of([*values, *[sum(values) / len(values)] * 9]) >= scatter_of(values[:LEAST_BLOCKS])

    def test_false_alarms_at_margin_zero(self) -> None:
        draw = random.Random(12)
        scatter = 0.022  # where the number of blocks varies most
        limits = [largest_scatter(blocks) for blocks in range(LEAST_BLOCKS, MOST_BLOCKS)]
        plain = planned = 0
        for _ in range(2000):
            values = [draw.gauss(0, scatter) for _ in range(MOST_BLOCKS)]
            wanted = LEAST_BLOCKS + sum(statistics.stdev(values[:LEAST_BLOCKS]) > limit for limit in limits)
            plain += find(values[:wanted], 0.0).low > 0
            planned += find_first(values[:wanted], 0.0).low > 0
        assert 0.04 < planned / 2000 < 0.06
        assert plain / 2000 > 0.06

    def test_a_second_stage_goes_by_the_same_rule_and_a_harder_level(self) -> None:
        draw = random.Random(2)
        calm = [draw.gauss(0, 0.02) for _ in range(7)]
        assert find_second(calm, 0.02) == find(calm, 0.02, SECOND_ALPHA)
        bad_start = [0.3, *calm, *[draw.gauss(0, 0.02) for _ in range(10)]]
        assert find_second(bad_start, 0.02).low < find(bad_start, 0.02, SECOND_ALPHA).low

    def test_a_bad_block_does_not_hide_a_clear_slow_down(self) -> None:
        """One stalled process among the first seven asks for 25 blocks, which outweigh it."""
        draw = random.Random(5)
        stage = [0.1 + draw.gauss(0, 0.01) for _ in range(MOST_BLOCKS)]
        stage[3] -= 0.2
        assert find_second(stage[:LEAST_BLOCKS], 0.02).verdict == "AMBIGUOUS"
        assert blocks_for(scatter_of(stage[:LEAST_BLOCKS]), 0.02) == MOST_BLOCKS
        assert find_second(stage, 0.02).verdict == "SLOWER"


def largest_scatter(blocks: int) -> float:
    """Return the largest scatter for which so many blocks are enough."""
    low, high = 0.0, 0.2
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if blocks_for(middle, 0.02) <= blocks else (low, middle)
    return low


def finding(verdict: str) -> Finding:
    return Finding(verdict, 0.0, 0.0, 0.0, 0.0, 1)  # type: ignore[arg-type]


class TestStages:
    def test_only_both_together_say_slower(self) -> None:
        verdicts = ("FASTER", "SAME", "SLOWER", "AMBIGUOUS")
        said = {second: confirmed(finding("SLOWER"), finding(second)) for second in verdicts}
        assert said == {"SLOWER": "SLOWER", "SAME": "SAME", "FASTER": "AMBIGUOUS", "AMBIGUOUS": "AMBIGUOUS"}
        assert [confirmed(finding(first), None) for first in ("FASTER", "SAME", "AMBIGUOUS")] == [
            "FASTER",
            "SAME",
            "AMBIGUOUS",
        ]

    def test_a_flagged_workload_needs_a_second_look(self) -> None:
        with pytest.raises(ValueError, match="measured again"):
            confirmed(finding("SLOWER"), None)

    def test_false_alarms_are_as_rare_as_promised(self) -> None:
        draw = random.Random(7)
        first = second = 0
        for _ in range(2000):
            one, two = ([draw.gauss(0, 0.012) for _ in range(7)] for _ in range(2))
            flagged = find(one, 0.0).verdict == "SLOWER"
            first += flagged
            second += flagged and find(two, 0.0, SECOND_ALPHA).verdict == "SLOWER"
        assert 0.035 < first / 2000 < 0.065  # at margin 0, where it is as bad as it gets
        assert second <= 8


class TestPlanning:
    @pytest.mark.parametrize(
        ("scatter", "chance"), [(0.012, 0.99), (0.015, 0.94), (0.02, 0.70), (0.037, 0.14)]
    )
    def test_power_with_seven_blocks(self, scatter: float, chance: float) -> None:
        assert power(0.05, scatter, 7, 0.02) == pytest.approx(chance, abs=0.006)

    def test_power_is_what_a_simulation_shows(self) -> None:
        draw = random.Random(11)
        found = 0
        for _ in range(1500):
            one, two = ([draw.gauss(math.log(1.05), 0.02) for _ in range(10)] for _ in range(2))
            found += find(one, 0.02).verdict == find(two, 0.02, SECOND_ALPHA).verdict == "SLOWER"
        assert found / 1500 == pytest.approx(power(0.05, 0.02, 10, 0.02), abs=0.03)

    @given(st.floats(0, 0.2), st.floats(0, 0.2), margins)
    def test_more_scatter_never_asks_for_fewer_blocks(self, one: float, other: float, margin: float) -> None:
        low, high = sorted((one, other))
        assert LEAST_BLOCKS <= blocks_for(low, margin) <= blocks_for(high, margin) <= MOST_BLOCKS

    @given(st.floats(0.001, 0.05), margins)
    def test_the_smallest_detectable_is_detected(self, scatter: float, margin: float) -> None:
        effect = smallest_detectable(scatter, 9, margin)
        assert effect > margin
        assert power(effect, scatter, 9, margin) >= 0.949
        assert power(effect - scatter / 20, scatter, 9, margin) < 0.951

    def test_without_scatter_everything_beyond_the_margin_is_found(self) -> None:
        assert power(0.021, 0.0, 7, 0.02) == 1.0
        assert power(0.02, 0.0, 7, 0.02) == 0.0
        assert blocks_for(0.0, 0.02) == LEAST_BLOCKS
        assert smallest_detectable(0.0, 7, 0.02) == pytest.approx(0.02)


class TestSuite:
    def test_sees_what_no_single_workload_shows(self) -> None:
        draw = random.Random(3)
        workloads = [find([draw.gauss(math.log(1.03), 0.03) for _ in range(7)], 0.02) for _ in range(20)]
        assert sum(each.verdict == "SLOWER" for each in workloads) < 10
        assert find_of_suite(workloads, 0.01).verdict == "SLOWER"

    def test_false_alarms(self) -> None:
        draw = random.Random(4)
        alarms = 0
        for _ in range(1000):
            workloads = [find([draw.gauss(0, 0.01) for _ in range(7)], 0.0) for _ in range(5)]
            alarms += find_of_suite(workloads, 0.0).verdict == "SLOWER"
        assert alarms <= 20  # 1 % at margin 0

    @given(st.lists(ratios, min_size=1, max_size=6), margins)
    def test_is_the_mean_of_its_workloads(self, blocks: list[list[float]], margin: float) -> None:
        workloads = [find(values, margin) for values in blocks]
        found = find_of_suite(workloads, margin)
        assert found.centre == pytest.approx(
            sum(each.centre for each in workloads) / len(workloads), abs=1e-9
        )
        assert found.degrees <= sum(each.degrees for each in workloads) + 1e-6
        if len(workloads) == 1:
            assert found.error == pytest.approx(workloads[0].error)


class TestNumbers:
    @given(st.lists(st.floats(0.1, 10), max_size=4), st.floats(0.1, 10))
    def test_few_runs_are_no_baseline(self, runs: list[float], latency: float) -> None:
        assert find_of_numbers(latency, runs, 0.02) is None

    def test_predicts_one_more_run(self) -> None:
        draw = random.Random(5)
        alarms = 0
        for _ in range(2000):
            *runs, new = (math.exp(draw.gauss(0, 0.05)) for _ in range(7))
            found = find_of_numbers(new, runs, 0.0)
            assert found is not None
            alarms += found.verdict == "SLOWER"
        assert alarms / 2000 == pytest.approx(FIRST_ALPHA, abs=0.015)

    def test_a_clear_case(self) -> None:
        found = find_of_numbers(2.0, [1.0, 1.01, 0.99, 1.0, 1.0], 0.02)
        assert found is not None
        assert found.verdict == "SLOWER"
        assert found.ratio == pytest.approx(2.0, rel=0.01)


class TestUnsteady:
    def test_noise_of_its_own_is_seen(self) -> None:
        draw = random.Random(6)
        calm = [math.exp(draw.gauss(0, 0.01)) for _ in range(25)]
        wild = [math.exp(draw.choice((0.0, 0.2)) + draw.gauss(0, 0.01)) for _ in range(25)]
        assert is_unsteady(wild, calm)
        assert not is_unsteady(calm, wild)
        assert not is_unsteady(wild[:24], calm[:24])

    def test_two_kinds_of_processes_are_not(self) -> None:
        draw = random.Random(9)

        def of_two_kinds(share: float) -> list[float]:
            return [math.exp(0.05 * (draw.random() < share) + draw.gauss(0, 0.004)) for _ in range(25)]

        for share in (0.05, 0.15, 0.3, 0.5):
            said = [is_unsteady(of_two_kinds(share), of_two_kinds(share)) for _ in range(1000)]
            assert sum(said) <= 15  # and then it is looked at again

    def test_single_bad_blocks_are_the_machines(self) -> None:
        draw = random.Random(8)
        for _ in range(500):
            calm, other = ([math.exp(draw.gauss(0, 0.01)) for _ in range(25)] for _ in range(2))
            for index in range(3):
                other[index] *= 3
            assert not is_unsteady(other, calm)
