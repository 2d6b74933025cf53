from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_fib.border.idle import NO_WORK, Work
from pytest_fib.data.solution import LoadedSolution, SourceFile
from pytest_fib.errors import FibError, NotJudgeable
from pytest_fib.judge import JudgeSession, Sampling, handover, places, schedule
from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.handover import Asked, Distances, Handovers, Rounds
from pytest_fib.judge.orders import calls_are_compiled, compiled_idle
from pytest_fib.judge.trials import Trial
from tests.judge.conftest import CONFIG, CPP, SCALE_ADD, solution, workload

WORKED = 30_000


@dataclass
class Machine:
    """A bench and the candidate on it whose calls work for ``WORKED`` nanoseconds.

    Besides, a request takes 1 µs for every call it has, another one if it is early, 7 if it is one of the first two
    of a round, and what ``disturbed`` says of the round and ``late`` of its place there; telling takes 100.
    """

    cuda: bool = False
    tells: bool = True
    disturbed: Callable[[int], int] = lambda _: 0
    late: Callable[[int], int] = lambda _: 0
    work: Work = NO_WORK
    rounds: list[Sequence[Request]] = field(default_factory=list)
    printed: str = ""
    gate: object | None = None

    @property
    def arena(self) -> Any:
        region = SimpleNamespace(stride=512)
        return SimpleNamespace(plan=SimpleNamespace(cuda=self.cuda, inputs=region, outputs=region))

    @contextmanager
    def idle(self, work: Work) -> Iterator[Any]:
        self.work = work
        yield SimpleNamespace(output=SimpleNamespace(take=lambda: self.printed))

    def run(self, candidate: Any, requests: Sequence[Request], verify: int) -> list[Interval]:
        assert verify == 0
        works = 0 if self.cuda else WORKED
        sizes = [request.calls for request in requests]
        assert self.work.requests == (() if self.cuda else tuple(sizes))
        told = [works * size for size in sizes] if self.tells else [1]
        self.printed = "" if self.cuda else " ".join(map(str, told))
        intervals = []
        for place, request in enumerate(requests):
            beside = 1000 * request.calls + 1000 * request.early + 7000 * (place < 2)
            telling = 100_000 * (place == len(requests) - 1)
            beside += self.disturbed(len(self.rounds)) + self.late(place) + telling
            intervals.append(Interval(works * request.calls + beside, 5 + len(self.rounds)))
        self.rounds.append(requests)
        return intervals


@pytest.fixture(autouse=True)
def bench_as_it_is(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "session" not in request.fixturenames:
        monkeypatch.setattr(handover, "bench_of_ours", lambda bench: bench)


def distances(calls: int, distance: float, count: int) -> Distances:
    apart = Distances()
    for _ in range(count):
        apart.add(calls, distance)
    return apart


def rounds_of(machine: Machine, asked: Asked, count: int = 1, apart: Distances | None = None) -> Rounds:
    apart = Distances() if apart is None else apart
    rounds = Rounds(machine, asked, machine.idle, apart, count)  # type: ignore[arg-type]
    while rounds.left:
        rounds.make()
    return rounds


@pytest.mark.parametrize("calls", [1, 2, 32])
@pytest.mark.parametrize("count", [1, 5])
def test_the_handover_is_what_is_left_of_requests(calls: int, count: int) -> None:
    rounds = rounds_of(Machine(), Asked(calls, 500.0), count)
    several, single = rounds.handover(calls), rounds.handover(1)
    assert (several.ordinary, several.early) == (1000 * calls, 1000 * calls + 1000)
    assert (single.ordinary, single.spread) == (1000, 0)
    assert (several.spread, several.early_spread, several.uncertainty) == (0, 0, 0)
    assert set(several.leads) == set(range(5, 5 + count))


def test_witnesses_are_few_among_ordinary_requests() -> None:
    machine = Machine()
    rounds_of(machine, Asked(8, 500.0))
    [requests] = machine.rounds
    many, early, single = (
        sum(request == kind for request in requests)
        for kind in (Request(8), Request(8, early=True), Request(1))
    )
    assert early == single >= 5
    assert many > 4 * (early + single)


def test_one_disturbed_round_changes_nothing() -> None:
    machine = Machine(disturbed=lambda number: 50_000 if number == 3 else 10 * number)
    found = rounds_of(machine, Asked(1), 5, distances(1, 10.0, 20)).handover(1)
    assert found.ordinary == 1020
    assert 5 < found.uncertainty < 20


def test_rounds_that_differ_leave_doubt() -> None:
    sure = rounds_of(Machine(disturbed=lambda number: 10 * number), Asked(1), 5).handover(1)
    unsure = rounds_of(Machine(disturbed=lambda number: 100 * number), Asked(1), 5).handover(1)
    assert unsure.uncertainty == pytest.approx(10 * sure.uncertainty)


def test_how_far_rounds_are_apart_is_known_from_other_workloads() -> None:
    apart = distances(2, 20.0, 60)
    alone = rounds_of(Machine(disturbed=lambda number: 20 * number), Asked(1), 3).handover(1)
    among = rounds_of(Machine(disturbed=lambda number: 20 * number), Asked(1), 3, apart).handover(1)
    assert len(apart.of(1)) == 62
    assert 20 < among.uncertainty < alone.uncertainty < 100
    assert among.uncertainty == pytest.approx(2.0 * 20 / 0.954 / 3**0.5, rel=0.01)


def test_rounds_of_as_many_calls_say_more_than_all_once_there_are_some() -> None:
    apart = distances(32, 500.0, 100)
    few = rounds_of(Machine(disturbed=lambda number: 20 * number), Asked(1), 3, apart).handover(1)
    for _ in range(3):
        enough = rounds_of(Machine(disturbed=lambda number: 20 * number), Asked(1), 3, apart).handover(1)
    assert few.uncertainty > 500
    assert enough.uncertainty < 50


def test_long_calls_are_asked_about_less_often() -> None:
    machine = Machine()
    rounds_of(machine, Asked(1, 800_000.0), 5)
    assert len(machine.rounds) < 5
    rounds_of(machine, Asked(1, 5e9))
    assert machine.work.ns == 1_000_000


def test_who_does_not_tell_is_not_taken_for_idle() -> None:
    with pytest.raises(FibError, match="idle requests told of 1 of"):
        rounds_of(Machine(tells=False), Asked(1))


def test_calls_on_a_device_do_nothing_and_are_measured_once() -> None:
    machine, session = Machine(cuda=True), Handovers()
    for _ in range(2):
        several, single = session.both(machine, Asked(4), machine.idle)  # type: ignore[arg-type]
        assert (several.ordinary, single.ordinary) == (4000, 1000)
    assert len(machine.rounds) == 1
    assert machine.work == NO_WORK
    assert session.roughly(machine, machine.idle) is single  # type: ignore[arg-type]


@pytest.mark.parametrize("gate", [None, object()])
def test_late_requests_behind_a_gate_excuse_little(gate: object | None) -> None:
    """Two in five requests on a device are late by 9 µs; that is no reason for the fastest witness to be so."""
    machine = Machine(cuda=True, gate=gate, late=lambda place: 9000 * (place % 5 > 2))
    found = rounds_of(machine, Asked(1)).handover(1)
    assert found.spread == (9000 if gate is None else 3000)
    assert found.uncertainty == 9000


def test_any_handover_of_one_call_is_good_enough_for_a_guess() -> None:
    machine, session = Machine(), Handovers()
    first = session.roughly(machine, machine.idle)  # type: ignore[arg-type]
    assert session.roughly(machine, machine.idle) is first  # type: ignore[arg-type]
    session.both(machine, Asked(2), machine.idle)  # type: ignore[arg-type]
    session.both(machine, Asked(2), machine.idle)  # type: ignore[arg-type]
    assert len(machine.rounds) == 3  # a processor's is measured whenever it is wanted


def shared(session: Handovers, machine: Machine, asked: Asked, by: str | None = "python") -> Rounds:
    rounds = session.rounds(machine, asked, machine.idle, 2, by)  # type: ignore[arg-type]
    while rounds.left:
        rounds.make()
    return rounds


def test_rounds_are_shared_by_workloads_that_are_alike() -> None:
    machine, session = Machine(), Handovers()
    first = shared(session, machine, Asked(2, 9_000.0))
    assert len(machine.rounds) == 2
    again = shared(session, machine, Asked(2, 9_500.0))
    assert len(machine.rounds) == 2
    assert again.handover(2) == first.handover(2)
    assert again.handover(1) == first.handover(1)
    for count, other in enumerate((Asked(4, 9_000.0), Asked(2, 30_000.0)), start=2):
        shared(session, machine, other)
        assert len(machine.rounds) == 2 * count
    shared(session, machine, Asked(2, 9_000.0), by="C++")
    shared(session, machine, Asked(2, 9_000.0), by=None)
    shared(session, machine, Asked(2, 9_000.0), by=None)
    assert len(machine.rounds) == 12


def test_shared_rounds_are_made_anew_after_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, session = Machine(disturbed=lambda number: 500 * (number >= 2)), Handovers()
    now = time.monotonic()
    for seconds, expected in ((0.0, 1000), (handover._SHARED_S - 1, 1000), (handover._SHARED_S + 1, 1500)):
        monkeypatch.setattr(time, "monotonic", lambda at=now + seconds: at)
        assert shared(session, machine, Asked(1)).handover(1).ordinary == expected


RETURNING = """
#include <cstdlib>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
using tvm::ffi::Tensor, tvm::ffi::TensorView;

struct Heap {
  void AllocData(DLTensor* tensor) { tensor->data = std::malloc(tensor->shape[0] * tensor->shape[1] * 4); }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

Tensor run(TensorView x, TensorView w, double bias) {
  Tensor y = Tensor::FromNDAlloc(Heap(), x.shape(), x.dtype(), x.device());
  auto *a = static_cast<float*>(x.data_ptr()), *b = static_cast<float*>(w.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.shape()[0] * 64; ++i) out[i] = a[i] * b[i % 64] + static_cast<float>(bias);
  return y;
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


@pytest.fixture
def session(cache_dir: Any) -> Iterator[JudgeSession]:
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir, sampling=Sampling(1, 10, 3))) as session:
        yield session


@pytest.mark.parametrize("subject", [solution(), solution(CPP, "cpp")], ids=["python", "cpp"])
def test_one_candidate_of_ours_shows_it_for_all_workloads(
    session: JudgeSession, subject: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Work, int]] = []
    make = Rounds.make

    def watched(self: Rounds) -> None:
        idle = self._idle

        @contextmanager
        def noted(work: Work) -> Iterator[Candidate]:
            with idle(work) as candidate:
                yield candidate
                made.append((work, candidate.pid))

        self._idle = noted
        make(self)
        self._idle = idle

    monkeypatch.setattr(Rounds, "make", watched)
    for rows in (4, 400, 4):
        evaluation = session.evaluate(SCALE_ADD, workload(rows), subject, None)
        assert evaluation.passed, evaluation.log
        assert evaluation.timing is not None
        assert evaluation.timing.handover_ms > 0
    assert len({pid for _, pid in made}) == 1
    assert len({work.nbytes for work, _ in made}) >= 2
    assert len(made) >= 6


def test_who_is_slow_in_the_first_trial_is_not_faster_for_it() -> None:
    asked: list[float] = []
    trials = [Trial([Request()] * 9, [Interval(each)] * 9) for each in (900_000, 30_000, 31_000)]

    def rounds(wanted: Asked) -> Any:
        asked.append(wanted.call_ns)
        return rounds_of(Machine(), wanted)

    stand: Any = SimpleNamespace(rounds=rounds)
    of_slow_calls = rounds_of(Machine(), Asked(1, 900_000.0))
    assert places._suiting(of_slow_calls, 900_000.0, trials, 1, stand) is not of_slow_calls
    assert asked == [30_000]
    of_fast_calls = rounds_of(Machine(), Asked(1, 31_000.0))
    assert places._suiting(of_fast_calls, 31_000.0, trials, 1, stand) is of_fast_calls
    assert places._suiting(of_fast_calls, 20_000.0, trials, 1, stand) is of_fast_calls


def test_many_calls_in_a_request_are_told_of(cache_dir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "MAX_CALLS_PER_REQUEST", 256)
    monkeypatch.setattr(schedule, "SHORT_NS", 1e9)
    monkeypatch.setattr(places.Processor, "most_sets", 256)
    config = replace(CONFIG, cache_dir=cache_dir, sampling=Sampling(1, 10, 1))
    with JudgeSession(config) as session:
        evaluation = session.evaluate(SCALE_ADD, workload(), solution(CPP, "cpp"), None)
    assert evaluation.passed, evaluation.log
    assert evaluation.timing is not None
    assert evaluation.timing.calls_per_request == 256


def test_kept_candidates_share_rounds(cache_dir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Rounds] = []
    make = Rounds.make

    def counted(self: Rounds) -> None:
        if self.left:
            made.append(self)
        make(self)

    monkeypatch.setattr(Rounds, "make", counted)
    monkeypatch.setattr(handover, "_SHARED_S", 60.0)
    config = replace(CONFIG, cache_dir=cache_dir, isolation="solution", sampling=Sampling(1, 10, 1))
    source = "import time\ndef run(x, w, bias):\n    time.sleep(3e-4)\n    return x * w + bias\n"
    with JudgeSession(config) as session:
        for rows in (4, 4, 4, 4, 4):
            evaluation = session.evaluate(SCALE_ADD, workload(rows), solution(source), None)
            assert evaluation.passed, evaluation.log
            assert evaluation.timing is not None
            assert evaluation.timing.handover_ms > 0
    assert len(made) <= 3  # one says roughly, and noise may make a call look twice as long


def test_without_idle_calls_of_the_same_kind_nothing_is_judged(
    cache_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = compiled_idle().solution.model_copy(
        update={"sources": (SourceFile(path="idle.cc", content="no C++ at all\n"),)}
    )
    monkeypatch.setattr(
        "pytest_fib.judge.session.compiled_idle", lambda: LoadedSolution(broken, Path("idle.cc"))
    )
    with (
        JudgeSession(replace(CONFIG, cache_dir=cache_dir)) as session,
        pytest.raises(NotJudgeable, match="do not compile here"),
    ):
        session.evaluate(SCALE_ADD, workload(), solution(CPP, "cpp"), None)


@pytest.mark.parametrize("style", [None, True, False])
def test_who_returns_values_is_called_from_python_as_idle_calls_are(
    cache_dir: Any, style: bool | None
) -> None:
    source = CPP if style is not False else RETURNING
    subject = solution(source, "cpp", destination_passing_style=style)
    assert calls_are_compiled(subject.solution) == (style is not False)
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir)) as session:
        evaluation = session.evaluate(SCALE_ADD, workload(), subject, None)
    assert evaluation.passed, evaluation.log
