"""How the processor's place finds its schedule, with made-up clocks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_fib.judge import Sampling
from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Interval
from pytest_fib.judge.handover import Asked, Handover
from pytest_fib.judge.places import Processor, Stand
from pytest_fib.judge.schedule import Schedule
from pytest_fib.judge.trials import Trial

HANDOVER = Handover(1_000.0)
COLD_NS, UNMAPPED_NS = 20_000, 8_000


@dataclass
class Calls:
    """A call takes ``call_ns``, alone ``COLD_NS`` more, and ``UNMAPPED_NS`` on every set that is new."""

    call_ns: int
    made: list[int] = field(default_factory=list)
    mapped: int = 0
    compiled: bool = True
    inputs: Any = field(default_factory=lambda: SimpleNamespace(varied=False))
    arena: Any = field(
        default_factory=lambda: SimpleNamespace(plan=SimpleNamespace(inputs=SimpleNamespace(sets=64)))
    )

    def run(self, candidate: None, requests: Sequence[Request], verify_later: bool = False) -> list[Interval]:
        intervals = []
        for request in requests:
            new = max(0, request.calls - self.mapped)
            self.mapped += new
            self.made.append(request.calls)
            # A call alone meets cold code; of several, the first does.
            cold = COLD_NS if request.calls == 1 else COLD_NS // 10
            elapsed = HANDOVER.ordinary + request.calls * self.call_ns + cold + new * UNMAPPED_NS
            intervals.append(Interval(int(elapsed)))
        return intervals


def schedule_for(call_ns: int, *later_ns: int) -> tuple[Schedule, list[int], list[Asked]]:
    """Return the schedule, how many calls the requests had that showed it, and whose hand-over was asked for.

    Calls of the trials take ``later_ns``, one after another and then the last, if there are any.
    """
    bench: Any = Calls(call_ns)
    asked: list[Asked] = []
    trials = list(later_ns or (call_ns,))

    def rounds(wanted: Asked) -> Any:
        asked.append(wanted)
        return SimpleNamespace(make=lambda: None, handover=lambda _: HANDOVER)

    def trial(_bench: Any, _candidate: Any, schedule: Schedule) -> Trial:
        requests = [Request(schedule.calls_per_request)] * 5
        took = trials.pop(0) if len(trials) > 1 else trials[0]
        return Trial(requests, [Interval(1_000 + took * schedule.calls_per_request)] * 5)

    nobody: Any = None
    stand = Stand(
        bench,
        Sampling(),
        False,
        lambda _: nullcontext(nobody),
        nobody,
        rounds,
        lambda _: HANDOVER,
        nobody,
        trial,
        lambda: 1_000.0,
    )
    measured = Processor().measure(stand)
    assert [len(trial.requests) for trial in measured.trials] == [5] * Sampling().trials
    calls = measured.schedule.calls_per_request
    assert all(request.calls == calls for trial in measured.trials for request in trial.requests)
    return measured.schedule, bench.made, asked


@pytest.mark.parametrize(("call_ns", "calls"), [(300_000, 1), (7_000, 8), (3_000, 16), (100, 16)])
def test_a_request_is_long_enough_although_first_calls_are_slow(call_ns: int, calls: int) -> None:
    schedule, made, asked = schedule_for(call_ns)
    assert schedule.calls_per_request == calls
    assert [each.calls for each in asked] == [calls]
    assert asked[0].call_ns == pytest.approx(call_ns)
    assert made[:3] == [1, 1, 1]
    assert max(made) == calls


def test_a_long_call_is_not_tried_several_times() -> None:
    assert schedule_for(300_000)[1] == [1, 1, 1]


@pytest.mark.parametrize("later_ns", [(3_000,), (300_000, 3_000), (15_000, 7_000, 3_000)])
def test_who_is_slow_until_requests_are_planned_gains_nothing_by_it(later_ns: tuple[int, ...]) -> None:
    schedule, _, asked = schedule_for(300_000, *later_ns)
    assert schedule.calls_per_request == 16
    assert asked[-1].calls == 16
    assert asked[-1].call_ns == pytest.approx(3_000)


def test_who_was_too_slow_for_early_requests_gets_them_when_he_is_faster() -> None:
    assert schedule_for(9_000_000)[0].early == 0
    assert schedule_for(9_000_000, 100_000)[0].early > 0
