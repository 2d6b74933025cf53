"""Where calls run: what the judge has to know about the CPU or a device, and how latencies are taken there.

Everything that differs between them is behind ``Place``. The CPU's is here; a device's is in ``cuda``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pytest_fib.border.arena import Plan
from pytest_fib.data.evaluation import Clock
from pytest_fib.judge.arena import Arena, JudgeArena
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.config import Sampling
from pytest_fib.judge.handover import Asked, Handover, Rounds
from pytest_fib.judge.requests import PLACES
from pytest_fib.judge.schedule import MAX_CALLS_PER_REQUEST, PROBES, Schedule, plan_schedule
from pytest_fib.judge.trials import INTERPRETER, PROCESSOR, Latency, Slack, Trial, latency_of, per_call_ns
from pytest_fib.measure import gate

_ARENA_BYTES = 64 << 20
ROUND_EVERY = 2  # trials
_SLOW_AT_FIRST = 2.0  # times as slow
_BEGINNINGS = 3  # anew, with more calls a request


@dataclass(frozen=True)
class Stand:
    """What a place is given to take the latency of one solution on one workload.

    Attributes
    ----------
    bench
        For calls that begin when "go" is seen.
    sampling
        Counts and budget.
    interpreted
        Whether calls are an interpreter's, whose time says little.
    candidate
        Yields the candidate of a trial, attached, while nobody else measures on this machine.
    handover
        Returns the hand-over of what is asked for, and that of one call.
    rounds
        Returns rounds of requests, among the trials, that show the hand-over of what is asked for.
    roughly
        Returns about what the hand-over of a request of one call is.
    trusted
        Yields a candidate that runs a source of the judge's own, attached.
    trial
        Makes the requests of one trial and returns those behind the warm-up.
    reference_ns
        What one run of the reference takes; known after the first calls.
    """

    bench: Bench
    sampling: Sampling
    interpreted: bool
    candidate: Callable[[int], AbstractContextManager[Candidate]]
    handover: Callable[[Bench, Asked], tuple[Handover, Handover]]
    rounds: Callable[[Asked], Rounds]
    roughly: Callable[[Bench], Handover]
    trusted: Callable[[str], AbstractContextManager[Candidate]]
    trial: Callable[[Bench, Candidate, Schedule], Trial]
    reference_ns: Callable[[], float]

    def schedule(self, probes: list[Interval], single: Handover, calls: int = 1) -> Schedule:
        """Return the schedule after ``probes``, requests of ``calls`` calls."""
        return self.schedule_of(max(1.0, min(probe.elapsed for probe in probes) - single.ordinary) / calls)

    def schedule_of(self, call_ns: float) -> Schedule:
        """Return the schedule for calls that take ``call_ns``."""
        return plan_schedule(
            self.sampling,
            call_ns,
            self.reference_ns(),
            self.bench.arena.plan.inputs.sets,
            self.bench.inputs.varied,
            self.interpreted,
            self.bench.compiled,
        )


@dataclass(frozen=True)
class Reading:
    """How the intervals of trials are to be read.

    Attributes
    ----------
    several, single
        The hand-over of requests of as many calls as the schedule says, and of one call.
    slack
        By how much requests may differ for honest reasons.
    clock
        What told the time.
    boundary_ns
        What lies between two calls and belongs to neither: subtracted from each.
    """

    several: Handover
    single: Handover
    slack: Slack
    clock: Clock = "judge"
    boundary_ns: float = 0.0

    def latency(self, trials: Sequence[Trial], calls: int) -> Latency:
        """Return the latency that ``trials`` of requests of ``calls`` calls show."""
        return latency_of(trials, calls, self.several, self.single, self.slack, self.boundary_ns)


@dataclass(frozen=True)
class Measured:
    """The trials of one solution on one workload, and how they are to be read."""

    trials: list[Trial]
    schedule: Schedule
    reading: Reading


HandoverOf = Callable[[Bench, int, float], tuple[Handover, Handover]]


@dataclass(frozen=True)
class Contest:
    """What a place is given to say how two solutions take turns on one workload; ours comes first in each pair.

    Attributes
    ----------
    benches
        For calls that begin when "go" is seen.
    our_call_ns
        What a call of ours takes, as it was judged.
    probe
        Returns roughly what a call of theirs takes with a bench.
    handovers
        Each returns the hand-over of requests of so many calls, and of one, where a call takes so many nanoseconds.
        They are equal where one is good for both.
    candidates
        Each yields a fresh candidate, attached and stopped.
    trusted
        Yields a candidate that runs a source of the judge's own, attached.
    """

    benches: tuple[Bench, Bench]
    our_call_ns: float
    probe: Callable[[Bench], float]
    handovers: tuple[HandoverOf, HandoverOf]
    candidates: tuple[
        Callable[[Bench], AbstractContextManager[Candidate]],
        Callable[[Bench], AbstractContextManager[Candidate]],
    ]
    trusted: Callable[[str], AbstractContextManager[Candidate]]


@dataclass(frozen=True)
class Terms:
    """What two solutions that take turns have in common; each has a bench.

    Attributes
    ----------
    schedule
        The requests of one block of each.
    readings
        How intervals of each are to be read.
    turn
        Requests that one makes before it is the other's turn.
    """

    benches: tuple[Bench, Bench]
    schedule: Schedule
    readings: tuple[Reading, Reading]
    turn: int


# Of the blocks of a comparison: enough requests for a median, in a time that allows for many blocks.
BLOCK = Sampling(warmup_runs=6, iterations=36, trials=gate.LEAST_BLOCKS)
_BLOCK_S = 0.04  # of timed calls of the slower solution in one block
_TURN, _TURN_NS = 6, 5_000_000  # requests, and how long they may take unless it is only one


def block_sampling(call_ns: tuple[float, float]) -> Sampling:
    """Return the counts and the budget of a block: enough for the faster of two, affordable for the slower."""
    return replace(BLOCK, budget_s=_BLOCK_S * BLOCK.trials * min(call_ns) / max(call_ns))


def turn_of(request_ns: float) -> int:
    """Return how many requests of up to ``request_ns`` make a turn."""
    return max(1, min(_TURN, int(_TURN_NS / request_ns)))


class Place(Protocol):
    """Where calls run.

    Attributes
    ----------
    is_device
        Whether inputs and outputs are a device's memory.
    arena_bytes, most_sets
        What an arena may take, and how many sets of buffers are of use.
    shares_writable
        Whether what a candidate maps can be written, whatever it is for.
    candidates_last
        Whether one candidate serves all calls of a workload, because starting one takes long.
    architecture
        What code is compiled for there; empty if it does not matter.
    """

    is_device: bool
    arena_bytes: int
    most_sets: int
    shares_writable: bool
    candidates_last: bool
    architecture: str

    def arena(self, plan: Plan, random: np.random.Generator) -> Arena:
        """Return new memory for one workload."""

    def measure(self, stand: Stand) -> Measured:
        """Take latencies.

        Raises
        ------
        CandidateError
            Whatever the candidate did wrong.
        """

    def terms(self, contest: Contest, gated: bool = True) -> Terms:
        """Say how two solutions take turns; ``gated`` allows for a gate that they wait at, where there is one.

        Raises
        ------
        CannotGate
            If one of them cannot wait at a gate.
        CandidateError
            Whatever one of them did wrong.
        """


class Processor:
    """The CPU: a fresh candidate for every trial."""

    is_device = False
    arena_bytes = _ARENA_BYTES
    most_sets = MAX_CALLS_PER_REQUEST + PLACES
    shares_writable = False
    candidates_last = False
    architecture = ""

    def arena(self, plan: Plan, random: np.random.Generator) -> Arena:
        """Return sealed memory files."""
        return JudgeArena(plan, random)

    def measure(self, stand: Stand) -> Measured:
        """Take latencies from "go" to "done"."""
        bench = stand.bench
        schedule: Schedule | None = None
        rounds: Rounds | None = None
        trials: list[Trial] = []
        left = _BEGINNINGS
        while len(trials) < stand.sampling.trials:
            with stand.candidate(len(trials)) as candidate:
                if schedule is None:
                    _first, *probes = bench.run(candidate, [Request()] * PROBES)
                    rough = stand.roughly(bench)
                    schedule = stand.schedule(probes, rough)
                    calls, tried = schedule.calls_per_request, 1
                    while calls > tried:
                        # Alone, and among few, a short call meets cold code, and in the first request memory that
                        # is not mapped yet: it looks several times as long.
                        tried = calls
                        probes = bench.run(candidate, [Request(tried)] * 2, verify_later=True)
                        schedule = stand.schedule(probes, rough, tried)
                        calls = schedule.calls_per_request
                trials.append(stand.trial(bench, candidate, schedule))
                again = stand.schedule_of(per_call_ns(trials[-1:], calls, rough))
                unseen = again.early > 0 and schedule.early == 0
                if left > 0 and (unseen or again.calls_per_request >= 2 * calls):
                    # Requests are too short, in which what is hidden from the clock weighs more, or none bears
                    # witness: who is slow until that is decided would gain by it.
                    schedule, calls, rounds = again, again.calls_per_request, None
                    trials.clear()
                    left -= 1
                    continue
                if rounds is None:
                    call_ns = per_call_ns(trials, calls, rough)
                    rounds = stand.rounds(Asked(calls, call_ns))
                if (len(trials) - 1) % ROUND_EVERY == 0:
                    rounds.make()
                if len(trials) == stand.sampling.trials:
                    rounds = _suiting(rounds, call_ns, trials, calls, stand)
        assert schedule is not None
        assert rounds is not None
        several, single = rounds.handover(calls), rounds.handover(1)
        return Measured(trials, schedule, Reading(several, single, _slack_of(stand.bench)))

    def terms(self, contest: Contest, gated: bool = True) -> Terms:
        """Have both begin when "go" is seen; there is no gate here."""
        ours, theirs = contest.benches
        return free_terms(contest, _slack_of(ours), _slack_of(theirs))


def _suiting(rounds: Rounds, call_ns: float, trials: list[Trial], calls: int, stand: Stand) -> Rounds:
    """Return ``rounds``, or others where calls were much faster than those of the first trial.

    A long call has a longer hand-over: who was slow at first would be faster by the difference.
    """
    seen = per_call_ns(trials, calls, rounds.handover(calls))
    if seen >= call_ns / _SLOW_AT_FIRST:
        return rounds
    again = stand.rounds(Asked(calls, seen))
    while again.left:
        again.make()
    return again


def _slack_of(bench: Bench) -> Slack:
    return PROCESSOR if bench.compiled else INTERPRETER


def free_terms(contest: Contest, our_slack: Slack, their_slack: Slack) -> Terms:
    """Return the terms of two whose calls begin when "go" is seen."""
    ours, theirs = contest.benches
    apart = theirs.apart()
    probed = contest.probe(apart)
    call_ns = (
        contest.our_call_ns,
        max(1.0, probed - contest.handovers[1](theirs, 1, contest.our_call_ns)[0].ordinary),
    )
    schedule = plan_schedule(
        block_sampling(call_ns),
        min(call_ns),
        statistics.median(apart.tally.reference_ns),
        ours.arena.plan.inputs.sets,
        ours.inputs.varied,
        compiled=ours.compiled and theirs.compiled,
    )
    calls = schedule.calls_per_request
    mine, others = contest.handovers
    handover = mine(ours, calls, min(call_ns))
    other = handover if others == mine else others(theirs, calls, min(call_ns))
    readings = Reading(*handover, our_slack), Reading(*other, their_slack)
    return Terms(contest.benches, schedule, readings, turn_of(max(call_ns) * calls))
