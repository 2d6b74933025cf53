from __future__ import annotations

import random
import statistics
from dataclasses import replace

from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Interval
from pytest_fib.judge.handover import Handover
from pytest_fib.judge.trials import INTERPRETER, PROCESSOR, Latency, Slack, Trial, latency_of

CALLS = 8
SINGLE = Handover(500, 20_000, 5_000, tuple(range(18_000, 28_000, 500)))
SEVERAL = Handover(900, 20_400, 5_000, tuple(range(18_000, 28_000, 500)))


def measured(
    ordinary: float,
    early: float | None = None,
    single: float | None = None,
    lead: float = 22_000,
    seed: int = 7,
    slack: Slack = PROCESSOR,
) -> Latency:
    """Five trials of a kernel that takes so many nanoseconds per request of each kind; it takes noise with it."""
    draw = random.Random(seed)
    early = ordinary if early is None else early
    single = ordinary / CALLS if single is None else single
    kinds = [
        *[(Request(CALLS), SEVERAL.ordinary + ordinary, lead)] * 20,
        *[(Request(CALLS, early=True), SEVERAL.early + early, 0)] * 3,
        *[(Request(), SINGLE.ordinary + single, lead)] * 3,
    ]
    trials = []
    for _ in range(5):
        draw.shuffle(kinds)
        intervals = [
            Interval(int(cost * draw.uniform(1.0, 1.02)), int(lead * draw.uniform(0.9, 1.1)))
            for _, cost, lead in kinds
        ]
        trials.append(Trial([request for request, _, _ in kinds], intervals))
    return latency_of(trials, CALLS, SEVERAL, SINGLE, slack)


def median(latency: Latency) -> float:
    return statistics.median(sample for samples in latency.trials for sample in samples)


def test_an_honest_kernel_gets_the_latency_of_ordinary_requests() -> None:
    latency = measured(20_000)
    assert not latency.remarks
    assert [len(samples) for samples in latency.trials] == [20] * 5
    assert abs(median(latency) / (20_000 / CALLS) - 1) < 0.03


def test_work_before_go_is_seen_by_requests_without_a_wake_before() -> None:
    latency = measured(100, early=200_000)
    assert median(latency) > 0.9 * 200_000 / CALLS
    assert any("before it is told to" in remark for remark in latency.remarks)


def test_the_fastest_early_request_is_held_against_the_fastest_of_nobody_s_work() -> None:
    """Their median would leave room for as much work ahead as wakes vary."""
    fastest = SEVERAL.early - SEVERAL.early_spread
    ahead = measured(20_000, early=20_000 * 1.3 + PROCESSOR.early + 2_000 - (SEVERAL.early - fastest))
    assert any("before it is told to" in remark for remark in ahead.remarks)
    usual = measured(20_000, early=20_000 * 1.3 + PROCESSOR.early - 2_000 - (SEVERAL.early - fastest))
    assert not usual.remarks


def test_a_call_alone_is_colder_where_an_interpreter_makes_it() -> None:
    alone = 20_000 / CALLS * 1.5 + SINGLE.spread + 1_000
    assert measured(20_000, single=alone).remarks
    assert not measured(20_000, single=alone, slack=INTERPRETER).remarks
    assert measured(20_000, single=alone + 2_000, slack=INTERPRETER).remarks


def test_work_before_the_first_beat_is_charged() -> None:
    latency = measured(100, early=100, lead=22_000 + 200_000)
    assert median(latency) > 0.9 * 170_000 / CALLS
    assert any("counted as work" in remark for remark in latency.remarks)


def test_several_calls_done_at_once_are_seen_by_single_calls() -> None:
    latency = measured(16_000, single=16_000)
    assert median(latency) > 0.9 * 16_000
    assert any("several calls at once" in remark for remark in latency.remarks)


def test_the_slowest_kind_of_request_counts() -> None:
    latency = measured(100, early=80_000, single=90_000)
    assert median(latency) > 80_000
    assert len(latency.remarks) == 2


def test_no_latency_is_below_a_nanosecond() -> None:
    latency = measured(-2_000, slack=replace(PROCESSOR, share=1.0))
    assert min(sample for samples in latency.trials for sample in samples) >= 1 / CALLS


def test_no_more_than_half_of_a_request_is_hand_over() -> None:
    """Who makes the calls of a request faster than idle calls are made gains half of it at most."""
    latency = measured(-400)
    assert not latency.remarks
    elapsed = SEVERAL.ordinary - 400
    assert abs(median(latency) / (elapsed / 2 / CALLS) - 1) < 0.03
    assert median(measured(-400, slack=replace(PROCESSOR, share=1.0))) < 0.05 * median(latency)


def test_single_calls_are_not_held_against_half_of_a_request() -> None:
    """A call of 60 ns alone, with a hand-over of 500, takes less than half of its request."""
    assert not measured(60 * CALLS).remarks


def test_a_warm_up_is_left_out_and_witnesses_stay() -> None:
    requests = [Request(1), Request(1, early=True), *[Request(1)] * 30]
    intervals = [
        Interval(90_000),
        Interval(50_000),
        Interval(80_000),
        *[Interval(20_000 + n % 7) for n in range(29)],
    ]
    trial = Trial(requests, intervals)
    assert trial.is_stationary(1)
    warm = trial.warm(1)
    assert Request(1, early=True) in warm.requests
    assert max(i.elapsed for r, i in zip(warm.requests, warm.intervals, strict=True) if not r.early) < 21_000


def test_latencies_that_keep_falling_are_not_stationary() -> None:
    falling = [Interval(int(100_000 * 0.9**n)) for n in range(30)]
    assert not Trial([Request(1)] * 30, falling).is_stationary(1)
