"""Blocks of a comparison: a fresh candidate of each of two solutions, which take turns of a few requests.

A slow moment of the machine hits both that way; while one runs, every process of the other is stopped. Both use the
same buffers, because a lasting difference in memory layout would look like one in speed, and both get the same
inputs, other ones in each block.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_fib.data.evaluation import Stage
from pytest_fib.inputs.shifted import Shifted
from pytest_fib.judge.arm import Arm, of_baseline
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.places import Terms
from pytest_fib.judge.requests import plan_requests
from pytest_fib.judge.schedule import Schedule
from pytest_fib.judge.trials import Trial
from pytest_fib.judge.verification import Tally
from pytest_fib.measure import gate

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession

_STAGE_S = 5.5
_PATIENCE = 4  # times that, to tell whether a candidate is unsteady
# Numbers of calls that one block may use; those of the evaluation are below the first.
_CALLS_OF_BLOCK = 1 << 20
_BLOCKS_OF_STAGE = 64
_BLOCKS_OF_TRY = 2 * _BLOCKS_OF_STAGE


def ratios(stage: Stage) -> list[float]:
    """Return the log-ratio of every block."""
    return gate.log_ratios(stage.candidate_ms, stage.baseline_ms)


def _scatter(stage: Stage) -> float:
    return gate.scatter_of(ratios(stage))


@dataclass
class Blocks:
    """Makes blocks: everything that stays the same for all of one pair.

    Attributes
    ----------
    spent
        What the candidate did.
    tries
        How often blocks of this pair were begun before; their inputs do not come again.
    wrong_elsewhere
        Whether one of the two was wrong where inputs were not normal.
    """

    session: JudgeSession
    ours: Arm
    theirs: Arm
    terms: Terms
    margin: float
    spent: Tally
    tries: int = 0
    made: int = 0
    seconds: float = 0.0
    wrong_elsewhere: bool = False

    def first_stage(self) -> Stage:
        """Return seven blocks and then as many more as their scatter asks for, or as there is time for.

        Where those of the candidate scatter far more than those of the baseline, there is more time.
        """
        return self._planned(0, gate.LEAST_BLOCKS)

    def second_stage(self, first: Stage) -> Stage:
        """Return other blocks, as many as all those of the first stage ask for, not fewer than these, or more."""
        least = self._affordable(_scatter(first), len(first.candidate_ms))
        return self._planned(_BLOCKS_OF_STAGE, least)

    def _planned(self, start: int, least: int) -> Stage:
        pilot = self._make(range(start, start + gate.LEAST_BLOCKS))
        stage = self._stage(pilot)
        unsteady = gate.looks_unsteady(stage.candidate_ms, stage.baseline_ms)
        wanted = self._affordable(_scatter(stage), least, _PATIENCE if unsteady else 1)
        return self._stage([*pilot, *self._make(range(start + gate.LEAST_BLOCKS, start + wanted))])

    def _affordable(self, scatter: float, least: int, patience: int = 1) -> int:
        """Return how many blocks ``scatter`` asks for, or fewer if there is no time, but at least ``least``."""
        affordable = int(patience * _STAGE_S * self.made / self.seconds)
        return max(least, min(gate.blocks_for(scatter, self.margin), affordable))

    def _make(self, numbers: range) -> list[tuple[Trial, Trial]]:
        blocks = []
        for number in (self.tries * _BLOCKS_OF_TRY + number for number in numbers):
            with self.session.lock.timing():
                start = time.monotonic()
                blocks.append(self.ours.watch.steady(partial(self._pair, number)))
                self.seconds += time.monotonic() - start
                self.made += 1
        return blocks

    def _pair(self, number: int) -> tuple[Trial, Trial]:
        """Return one block of the candidate and one of the baseline; what both wrote is verified."""
        mine, others = (self._bench(bench, number) for bench in self.terms.benches)
        ours, theirs = Side(self.ours, mine, nullcontext), Side(self.theirs, others, of_baseline)
        sides = (ours, theirs) if _is_ahead(number) else (theirs, ours)
        try:
            with ExitStack() as stack:
                # What was wrong before is what is told, and that of the candidate rather than of the baseline.
                stack.callback(ours.verify)
                stack.callback(theirs.verify)
                take_turns(sides, self.terms.schedule, self.terms.turn)
        finally:
            self.spent.calls += mine.tally.calls
            self.spent.verified_calls += mine.tally.verified_calls
            self.wrong_elsewhere |= any(bench.tally.others.wrong for bench in (mine, others))
        return ours.trial(self.terms.schedule), theirs.trial(self.terms.schedule)

    def _bench(self, bench: Bench, number: int) -> Bench:
        """Return the bench of one block: for both solutions the same inputs, and requests in the same order."""
        inputs = Shifted(bench.inputs, (1 + number) * _CALLS_OF_BLOCK)
        return replace(bench.apart(inputs), random=self.ours.random(f"block {number}"))

    def _stage(self, blocks: Sequence[tuple[Trial, Trial]]) -> Stage:
        ours, theirs = (self._latencies([block[side] for block in blocks], side) for side in (0, 1))
        return Stage(ours, theirs)

    def _latencies(self, trials: list[Trial], side: int) -> tuple[float, ...]:
        """Return the latency of each block in milliseconds, by the same rules as that of an evaluation."""
        latency = self.terms.readings[side].latency(trials, self.terms.schedule.calls_per_request)
        return tuple(statistics.median(trial) / 1e6 for trial in latency.trials)


@dataclass
class Side:
    """One of the two in one block; ``blamed`` turns what goes wrong on this side into what it means for the item."""

    arm: Arm
    bench: Bench
    blamed: Callable[[], AbstractContextManager[None]]
    requests: list[Request] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    warmups: int = 0

    def start(self, schedule: Schedule, warmups: int) -> None:
        """Draw the requests of a block anew, of which so many are no samples."""
        requests = plan_requests(schedule, self.bench.arena.plan.inputs.sets, self.bench.random)
        self.requests = requests[schedule.warmups - warmups :]
        self.intervals = []
        self.warmups = warmups

    def turn(self, candidate: Candidate, requests: Sequence[Request], verify: int | None) -> None:
        """Make the next requests."""
        with self.blamed():
            self.intervals += self.arm.serve(self.bench, candidate, requests, verify)

    def verify(self) -> None:
        """Compare what has not been compared yet."""
        with self.blamed():
            self.bench.verify()

    def is_stationary(self, calls: int) -> bool:
        """Whether the latencies settled within the block."""
        return self._whole().is_stationary(calls)

    def trial(self, schedule: Schedule) -> Trial:
        """Return what was measured, without what is warm-up still if it ever settled."""
        whole = self._whole()
        calls = schedule.calls_per_request
        return whole.warm(calls) if whole.is_stationary(calls) else whole

    def _whole(self) -> Trial:
        return Trial(self.requests[self.warmups :], self.intervals[self.warmups :])


def take_turns(sides: tuple[Side, Side], schedule: Schedule, length: int) -> None:
    """Make one block: fresh candidates of both sides serve ``length`` requests each by turns, the first side first.

    A block in which one of the two does not settle is made once more by the same candidates and then counted.
    """
    with ExitStack() as stack:
        candidates = []
        for side in sides:
            with side.blamed():
                candidates.append(stack.enter_context(side.arm.standing_by(side.bench)))
        for warmups in (schedule.warmups, 0):
            for side in sides:
                side.start(schedule, warmups)
            _take_turns(sides, candidates, schedule.verified, length)
            if all(side.is_stationary(schedule.calls_per_request) for side in sides):
                break


def _take_turns(
    sides: tuple[Side, Side], candidates: Sequence[Candidate], verified: int | None, length: int
) -> None:
    count = len(sides[0].requests)
    share = None if verified is None else math.ceil(verified * length / count)
    for turn, begin in enumerate(range(0, count, length)):
        # The order of the turns alternates too: who comes second finds the machine as the first left it.
        for index in (0, 1) if _is_ahead(turn) else (1, 0):
            side = sides[index]
            side.turn(candidates[index], side.requests[begin : begin + length], share)


def _is_ahead(number: int) -> bool:
    """Whether the first of two is ahead at this turn in the order of ABBA BAAB."""
    return number.bit_count() % 2 == 0
