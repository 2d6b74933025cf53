from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_fib.judge import JudgeSession, Sampling, handover, schedule
from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Interval
from pytest_fib.judge.handover import Handover, Handovers
from tests.judge.conftest import CONFIG, SCALE_ADD, replace, solution, workload

SHORT = "import torch\n\ndef run(x, w, bias, y):\n    torch.mul(x, w, out=y).add_(bias)\n"


@dataclass
class Printed:
    """What a candidate is to the arithmetic: its output."""

    printed: str
    drained: bool = False

    @property
    def output(self) -> Printed:
        return self

    def drain(self) -> None:
        self.drained = True

    def text(self) -> str:
        assert self.drained
        return self.printed


@dataclass
class Turns:
    """A bench on which every second request works for 10 µs and needs ``cold`` nanoseconds more besides."""

    cold: int
    made: list[Request] = field(default_factory=list)

    def run(self, candidate: Any, requests: list[Request], verify: int) -> list[Interval]:
        self.made += requests
        return [Interval(2_000 + number % 2 * (10_000 + self.cold), 0) for number in range(len(requests))]


@pytest.mark.parametrize(("cold", "expected"), [(0, 0.0), (640, 640.0), (-300, 0.0)])
def test_cold_calls_are_what_is_left_of_busy_requests(cold: int, expected: float) -> None:
    bench, told = Turns(cold), "\n".join(["0", "10000"] * 10)
    assert handover._cold_calls(bench, Printed(told), 8, 10) == expected  # type: ignore[arg-type]
    assert bench.made == [Request(8)] * 21  # the last request makes the one before it tell


@pytest.fixture
def short_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every request one of several calls, however slow this machine is."""
    monkeypatch.setattr(schedule, "SHORT_NS", 1e9)


@pytest.mark.usefixtures("short_requests")
@pytest.mark.parametrize("through_ffi", [False, True])
def test_a_candidate_of_ours_tells_what_every_request_worked(
    through_ffi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, list[int]]] = []
    cold_calls, measure = handover._cold_calls, Handovers.measure

    def watched(bench: Any, candidate: Any, calls: int, count: int) -> float:
        cold = cold_calls(bench, candidate, calls, count)
        told.append((count, [int(line) for line in candidate.output.text().split()]))
        return cold

    def through(self: Handovers, *arguments: Any) -> Handover:
        return measure(self, *arguments[:4], through_ffi)

    monkeypatch.setattr(handover, "_cold_calls", watched)
    monkeypatch.setattr(Handovers, "measure", through)
    config = replace(CONFIG, sampling=Sampling(1, 10, 2))
    with JudgeSession(config) as session:
        evaluation = session.evaluate(SCALE_ADD, workload(100), solution(SHORT), None)
    assert evaluation.passed, evaluation.log
    [(count, worked)] = told
    assert len(worked) == 2 * count
    idle, busy = worked[2::2], worked[3::2]
    assert sum(busy) > 2 * sum(idle)  # writing takes longer than looking at a clock


@pytest.mark.usefixtures("short_requests")
def test_calls_that_leave_the_caches_alone_need_no_further_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_cold_calls", lambda *_: pytest.fail("measured all the same"))
    config = replace(CONFIG, sampling=Sampling(1, 10, 2))
    with JudgeSession(config) as session:
        evaluation = session.evaluate(SCALE_ADD, workload(4), solution(SHORT), None)
    assert evaluation.timing is not None
    assert evaluation.timing.calls_per_request > 1
