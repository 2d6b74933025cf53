"""What a request costs beside its calls: measured, per session, with candidates of the judge's own.

A kernel leaves the caches full of its own data, and so does whatever else shares the machine while it works: when it
returns, the way back is cold, and the way to the next call is. So the calls of our candidate work as well: they
write as much memory as those of the solution have, for about as long, and tell how long they did. What is left of the
request is the hand-over. (On a device calls work somewhere else, and ours do nothing.)
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain, pairwise

from pytest_fib.border.idle import NO_WORK, Work
from pytest_fib.errors import FibError
from pytest_fib.inputs.repeating import Repeating
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.schedule import SHORT_NS
from pytest_fib.measure.interval import student_t_quantile

_WARM_UP = 5  # requests at the beginning of each round
_ORDINARY = 5  # ordinary requests before each witness
_ON_DEVICE = 20  # requests of each kind, on a device
_CYCLES = 5  # of witnesses, in all rounds, if they are few
_SHARED_S = 10.0  # that rounds serve several workloads: a machine changes
_REMEMBERED = 128  # by how far so many neighbouring rounds were apart, of whatever workload
_ENOUGH = 8  # of as many calls a request, which vary alike
_APART = 0.954  # median distance of two normal numbers, in standard deviations
_MOST_GATED_NS = 3000.0  # of spread behind a gate: of many witnesses the fastest is not late by chance
_EQUAL_CALLS = 1 << 20
_MOST_BYTES = 8 << 20  # that a call of ours writes: no cache that matters is larger
_ALL_BYTES = 256 << 20  # of all requests together: where one takes long, some microseconds do not matter
_ALL_NS = 40e6
_LONGEST_NS = 1e6  # that a call of ours works: the hand-over of a longer one is next to nothing of it


def bench_of_ours(bench: Bench) -> Bench:
    """Return a bench for candidates of the judge's own: nothing is counted, and inputs need not be new."""
    return bench.apart(Repeating(bench.inputs, _EQUAL_CALLS))


@dataclass(frozen=True)
class Handover:
    """Nanoseconds of requests beside their calls.

    Attributes
    ----------
    ordinary, early
        Medians of ordinary requests and of those whose "go" comes before the wake; of the latter there are none of
        one call among several.
    early_spread
        By how much the fastest early request is below their median.
    leads
        From the wake to "go", of each ordinary request.
    spread
        By how much slow ordinary requests, the 90th percentile, are above their median.
    uncertainty
        By how much ``ordinary`` may be wrong, with a confidence of 95 %.
    """

    ordinary: float = 0.0
    early: float = 0.0
    early_spread: float = 0.0
    leads: tuple[int, ...] = ()
    spread: float = 0.0
    uncertainty: float = 0.0


Idle = Callable[[Work], AbstractContextManager[Candidate]]


@dataclass(frozen=True)
class Asked:
    """Whose hand-over is wanted.

    Attributes
    ----------
    calls
        That of a request of so many calls, and of one call among those.
    call_ns
        What a call takes, roughly. Too much makes the hand-over look too long.
    """

    calls: int
    call_ns: float = SHORT_NS


@dataclass(frozen=True)
class _Key:
    """What a hand-over depends on where nothing works in its calls."""

    calls: int
    gated: bool


@dataclass
class _Shared:
    """Rounds that serve several workloads, and when they began."""

    made: list[list[_Made]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)


@dataclass
class Distances:
    """Nanoseconds between the medians of neighbouring rounds: a few rounds of one workload alone would say little."""

    _seen: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def add(self, calls: int, distance: float) -> None:
        """Remember the distance of two rounds with ``calls`` calls a request."""
        self._seen.append((calls, distance))

    def of(self, calls: int) -> list[float]:
        """Return those of rounds with ``calls`` calls a request, of all rounds while these are few."""
        own = [distance for seen, distance in self._seen if seen == calls]
        return own if len(own) >= _ENOUGH else [distance for _, distance in self._seen]


@dataclass
class Handovers:
    """The hand-overs of one session.

    Attributes
    ----------
    apart
        What rounds of all workloads say about how sure the hand-over is.
    """

    apart: Distances = field(default_factory=Distances)
    _known: dict[_Key, tuple[Handover, Handover]] = field(default_factory=dict)
    _rough: dict[bool, Handover] = field(default_factory=dict)
    _shared: dict[tuple[object, ...], _Shared] = field(default_factory=dict)

    def rounds(
        self, bench: Bench, asked: Asked, idle: Idle, count: int, shared_by: str | None = None
    ) -> Rounds:
        """Return ``count`` rounds to be made for one workload.

        Parameters
        ----------
        shared_by
            What workloads must have in common to share rounds, beside that their calls take and write about as much;
            None where each has its own. Rounds are shared for some seconds.
        """
        rounds = Rounds(bench, asked, idle, self.apart, count)
        if shared_by is not None:
            key = (shared_by, asked.calls, *map(int.bit_length, (rounds.work.ns, rounds.work.nbytes)))
            known = self._shared.get(key)
            if known is None or time.monotonic() - known.began > _SHARED_S:
                known = self._shared[key] = _Shared()
            rounds.share(known.made)
        return rounds

    def roughly(self, bench: Bench, idle: Idle) -> Handover:
        """Return the hand-over of a request of one call, of whatever size: that of some other, if one is known."""
        known = self._rough.get(bench.gate is not None)
        return known or self.both(bench, Asked(1), idle)[1]

    def both(self, bench: Bench, asked: Asked, idle: Idle) -> tuple[Handover, Handover]:
        """Return the hand-over of requests of as many calls, and of one call among them.

        A device's is measured once in a session.
        """
        gated = bench.gate is not None
        key = _Key(asked.calls, gated)
        if not (bench.arena.plan.cuda and key in self._known):
            rounds = Rounds(bench, asked, idle, self.apart)
            rounds.make()
            found = rounds.handover(asked.calls), rounds.handover(1)
            self._known[key], self._rough[gated] = found, found[1]
        return self._known[key]


class Rounds:
    """Rounds of requests whose calls are the judge's own, among the trials of a solution: a machine changes.

    Parameters
    ----------
    bench
        Of the solution.
    asked
        What is wanted.
    idle
        Yields a candidate that does a given work, attached to the arena of ``bench``. Nothing of a solution may run
        meanwhile: who could slow this down would be faster by the difference.
    apart
        As in ``Handovers``; what these rounds say is added.
    rounds
        How many there are to be.

    Attributes
    ----------
    left
        How many rounds are to be made still.
    work
        What each of the calls does.
    """

    def __init__(self, bench: Bench, asked: Asked, idle: Idle, apart: Distances, rounds: int = 1) -> None:
        plan = bench.arena.plan
        self._bench = bench_of_ours(bench)
        self._idle = idle
        self._apart = apart
        ordinary = Request(asked.calls)
        witnesses = [Request(asked.calls, early=True), *([Request()] if asked.calls > 1 else [])]
        self.left, self.work = 1, NO_WORK
        if plan.cuda:
            # An early request changes several behind it, of which a solution has few.
            each = [[kind] * _ON_DEVICE for kind in (ordinary, *witnesses)]
            self._requests = [ordinary] * _WARM_UP + list(chain.from_iterable(each))
        else:
            # Witnesses are few among ordinary requests, and so is what they are held against.
            cycle = [each for kind in witnesses for each in [ordinary] * _ORDINARY + [kind]]
            per_call = plan.outputs.stride + plan.inputs.stride
            work_ns = min(asked.call_ns, _LONGEST_NS)
            least = [ordinary] * _WARM_UP + cycle
            calls = sum(request.calls for request in least)
            affordable = int(min(_ALL_BYTES / (calls * per_call), _ALL_NS / (calls * work_ns)))
            self.left = max(1, min(rounds, affordable))
            self._requests = least + cycle * max(0, min(affordable, _CYCLES) // self.left - 1)
            self._requests.append(ordinary)  # telling takes it longer
            self.work = Work(
                ns=int(work_ns),
                nbytes=min(per_call, _MOST_BYTES // asked.calls),
                places=asked.calls,
                requests=tuple(request.calls for request in self._requests),
            )
        self._made: list[list[_Made]] = []

    def share(self, made: list[list[_Made]]) -> None:
        """Count on rounds that were ``made`` for others, and make those that come for both."""
        self.left = max(0, self.left - len(made))
        self._made = made

    def make(self) -> None:
        """Make one round, if it is not one too many."""
        if self.left == 0:
            return
        self.left -= 1
        with self._idle(self.work) as candidate:
            intervals = self._bench.run(candidate, self._requests, verify=0)
            told = list(map(int, candidate.output.take().split()))
        if len(told) != len(self.work.requests):
            raise FibError(
                f"idle requests told of {len(told)} of {len(self.work.requests)} how long their calls took: run "
                "again, and report it if it happens twice"
            )
        worked = told or [0] * len(self._requests)
        made = [
            _Made(request, interval, interval.elapsed - working)
            for request, interval, working in zip(self._requests, intervals, worked, strict=True)
        ]
        if told:
            del made[-1]
        # The one behind a witness is slower than the others, and of a solution's requests there are fewer of these.
        ordinary = self._requests[0]
        kept = [
            each
            for before, each in pairwise(made[_WARM_UP - 1 :])
            if each.request != ordinary or before.request == ordinary
        ]
        self._made.append(kept)
        if len(self._made) > 1:
            before, last = (
                statistics.median(each.beside for each in _of(ordinary, made)) for made in self._made[-2:]
            )
            self._apart.add(ordinary.calls, abs(last - before))

    def handover(self, calls: int) -> Handover:
        """Return the hand-over of requests of ``calls`` calls, as the rounds that were made show it."""
        ordinary = [_of(Request(calls), made) for made in self._made]
        usual = sorted(each.beside for made in ordinary for each in made)
        late = [each.beside for made in self._made for each in _of(Request(calls, early=True), made)] or [0]
        middle = statistics.median(usual)
        # Behind a gate nobody waits for an interpreter, so a late request is the machine's doing, not usual.
        gated = self._bench.gate is not None
        high = usual[int((0.75 if gated else 0.9) * len(usual))] - middle
        spread = min(high, _MOST_GATED_NS) if gated else high
        return Handover(
            ordinary=middle,
            spread=spread,
            early=statistics.median(late),
            early_spread=statistics.median(late) - min(late),
            leads=tuple(each.interval.lead for made in ordinary for each in made),
            uncertainty=self._uncertainty() if len(self._made) > 1 else high,
        )

    def _uncertainty(self) -> float:
        """Return half of the interval of the median of all rounds, from how far rounds are apart in this session."""
        apart = self._apart.of(self._requests[0].calls)
        deviation = statistics.median(apart) / _APART
        return student_t_quantile(0.975, len(apart)) * deviation / math.sqrt(len(self._made))


@dataclass(frozen=True)
class _Made:
    """A request, its interval, and what of that was not work."""

    request: Request
    interval: Interval
    beside: int


def _of(wanted: Request, made: Sequence[_Made]) -> list[_Made]:
    return [each for each in made if each.request == wanted]
