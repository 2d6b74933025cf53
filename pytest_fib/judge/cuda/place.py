"""A CUDA device as a place where calls run, and how latencies are taken there.

Calls are enqueued behind a gate, so that "go" starts the device alone, so many of them that the hand-over is small
beside the request. One context serves all trials of a workload: making one takes as long as some hundred requests.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from pytest_fib.border.arena import Plan
from pytest_fib.data.evaluation import Clock
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate, CannotGate, Interval
from pytest_fib.judge.cuda.arena import CudaArena
from pytest_fib.judge.cuda.boundary import SOURCES, Boundary
from pytest_fib.judge.cuda.device import Device
from pytest_fib.judge.cuda.pace import Pace, pace_of
from pytest_fib.judge.cuda.schedule import MOST_CALLS, gated_schedule
from pytest_fib.judge.cuda.witnesses import heard_again
from pytest_fib.judge.failures import DeviceBusy
from pytest_fib.judge.handover import Asked, Handover, bench_of_ours
from pytest_fib.judge.places import (
    Contest,
    Measured,
    Reading,
    Stand,
    Terms,
    block_sampling,
    free_terms,
    turn_of,
)
from pytest_fib.judge.requests import PLACES
from pytest_fib.judge.schedule import PROBES
from pytest_fib.judge.trials import Slack, per_call_ns

_ARENA_BYTES = 4 << 30
# Without a gate launches hide behind each other, and a context has to come back.
_WAITING = Slack(single=30_000.0, lead=150_000.0, early=100_000.0)
_GATED = Slack(single=1_500.0, lead=150_000.0, early=15_000.0)
_RULED, _RULED_CALLS = 4, 64  # requests from which a boundary is read, and their calls
_ALONE = 9  # requests of one call from which it is read what such a call takes longer
_CLAIMS = 3  # requests that the candidate times as well
_INNER_PATIENCE_S = 1.0  # the first use of CUPTI takes a while
_SUSPICIOUS = 1.5  # times what a call among many takes
_WARMUPS, _REQUESTS = 2, 16  # of one block of a comparison, each of several calls
# How long these are: making the processes of a block takes much longer than all of them.
_BLOCK_REQUEST_NS = 4e5


class CudaPlace:
    """The device ``name`` (``cuda:N``); making it makes the judge's context there."""

    is_device = True
    arena_bytes = _ARENA_BYTES
    most_sets = MOST_CALLS + PLACES
    shares_writable = True
    candidates_last = True

    def __init__(self, name: str) -> None:
        self._device = Device(name)
        self.architecture = self._device.capability
        self._boundary: Boundary | None = None

    def arena(self, plan: Plan, random: np.random.Generator) -> Arena:
        """Return device memory of the judge's own."""
        return CudaArena(plan, random, self._device)

    def measure(self, stand: Stand) -> Measured:
        """Take latencies behind a gate; of solutions that wait for results, from "go" to "done"."""
        with stand.candidate(0) as candidate:
            probes = stand.bench.run(candidate, [Request()] * PROBES)
            try:
                return self._gated(stand, candidate, probes)
            except CannotGate:
                if candidate.alive:
                    return self._waiting(stand, candidate, probes)
            except DeviceBusy:  # streams that wait for each other do not leave the device alone
                candidate.kill()
        stand.bench.verification.waiting.clear()
        with stand.candidate(1) as candidate:
            probes = stand.bench.run(candidate, [Request()] * PROBES)
            return self._waiting(stand, candidate, probes)

    def _waiting(self, stand: Stand, candidate: Candidate, probes: list[Interval]) -> Measured:
        bench = stand.bench
        single = several = stand.handover(bench, Asked(1))[0]
        schedule = stand.schedule(probes[1:], single)
        calls = schedule.calls_per_request
        if calls > 1:
            several, single = stand.handover(bench, Asked(calls))
        trials = [stand.trial(bench, candidate, schedule) for _ in range(stand.sampling.trials)]
        return Measured(trials, schedule, Reading(several, single, _WAITING))

    def _gated(self, stand: Stand, candidate: Candidate, probes: list[Interval]) -> Measured:
        pace = pace_of(stand.bench, candidate, probes, lambda bench: stand.handover(bench, Asked(1))[0])
        bench, handover = pace.bench, pace.handover
        schedule = gated_schedule(
            stand.sampling,
            pace.calls,
            pace.call_ns,
            stand.reference_ns(),
            bench.inputs.varied,
            bench.arena.plan.outputs.stride,
        )
        trials = [stand.trial(bench, candidate, schedule) for _ in range(stand.sampling.trials)]
        boundary = self._ruled(stand.trusted, bench, handover)
        per_call = per_call_ns(trials, schedule.calls_per_request, handover)
        slack = replace(_GATED, single=max(_GATED.single, boundary.alone))
        suspicious_ns = _SUSPICIOUS * per_call + slack.single
        trials = heard_again(stand, bench, candidate, trials, handover.ordinary, suspicious_ns)
        claim = 0.0
        if boundary.matters(per_call):
            claim = _claim(bench, candidate, schedule.calls_per_request)
        between, claimed = boundary.between(per_call, claim)
        clock: Clock = "cupti" if claimed else "gated"
        return Measured(trials, schedule, Reading(handover, handover, slack, clock, between))

    def terms(self, contest: Contest, gated: bool = True) -> Terms:
        """Have both wait at a gate, if neither has to wait for results.

        Requests of both have equally many calls. No clock of theirs is heard: what lies between two calls counts
        as theirs beyond what it is at least.
        """
        if not gated:
            return free_terms(contest, _WAITING, _WAITING)
        paces = [self._paced(contest, side) for side in (0, 1)]
        ours, theirs = paces
        call_ns = ours.call_ns, theirs.call_ns
        calls = min(ours.calls, theirs.calls)
        between, _ = self._ruled(contest.trusted, ours.bench, ours.handover).between(min(call_ns), 0.0)
        counts = replace(
            block_sampling(call_ns), warmup_runs=_WARMUPS * calls, iterations=max(36, _REQUESTS * calls)
        )
        schedule = gated_schedule(
            counts,
            calls,
            min(call_ns),
            statistics.median(ours.bench.tally.reference_ns),
            ours.bench.inputs.varied,
            ours.bench.arena.plan.outputs.stride,
        )
        reading = Reading(ours.handover, ours.handover, _GATED, "gated", between)
        mine, others = (
            replace(bench, gate=pace.bench.gate) for bench, pace in zip(contest.benches, paces, strict=True)
        )
        schedule = replace(schedule, single=0)
        return Terms((mine, others), schedule, (reading, reading), turn_of(max(call_ns) * calls))

    @staticmethod
    def _paced(contest: Contest, side: int) -> Pace:
        apart = contest.benches[side].apart()
        with contest.candidates[side](apart) as candidate:
            probes = apart.run(candidate, [Request()] * PROBES)
            return pace_of(
                apart,
                candidate,
                probes,
                lambda bench: contest.handovers[0](bench, 1, contest.our_call_ns)[0],
                _BLOCK_REQUEST_NS,
            )

    def _ruled(
        self, trusted: Callable[[str], AbstractContextManager[Candidate]], bench: Bench, handover: Handover
    ) -> Boundary:
        """Return what lies between two calls, measured once per session with kernels of the judge's own."""
        if self._boundary is None:
            found, alone = [], []
            apart = bench_of_ours(bench)
            calls = min(bench.arena.plan.inputs.sets, _RULED_CALLS)
            for source in SOURCES:
                with trusted(source) as candidate:
                    replace(apart, gate=None).run(candidate, [Request()] * PROBES, verify=0)
                    taken = apart.run(candidate, [Request(calls)] * _RULED, verify=0)
                    period = statistics.median(interval.elapsed for interval in taken) - handover.ordinary
                    one = apart.run(candidate, [Request()] * _ALONE, verify=0)
                    net = statistics.median(interval.elapsed for interval in one) - handover.ordinary
                    alone.append(net - period / calls)
                    claim = _claim(apart, candidate, calls)
                    if claim > 0:
                        found.append(period / calls - claim)
            self._boundary = Boundary.of(found, alone)
        return self._boundary


def _claim(bench: Bench, candidate: Candidate, calls: int) -> float:
    """Return the nanoseconds that one call takes by the clock in the candidate's process; 0 if it does not say."""
    assert bench.gate is not None
    inner = replace(bench, gate=replace(bench.gate, inner=True, beforehand_s=_INNER_PATIENCE_S))
    claims = []
    for _ in range(_CLAIMS):
        try:
            inner.run(candidate, [Request(calls)], verify=0, verify_later=True)
        except CannotGate:
            return 0.0
        claims.append(candidate.claim)
    return statistics.median(claims)
