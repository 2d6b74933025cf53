"""Two solutions side by side on one workload, in blocks of fresh candidates: what the gate's verdict comes from.

The two candidates of a block take turns of a few requests, so that a slow moment of the machine hits both; while
one runs, every process of the other is stopped. Both use the same buffers, because a lasting difference in memory
layout would look like one in speed, and both get the same inputs, other ones in each block.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation, Gating, Stage
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.data.workload import Workload
from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.shifted import Shifted
from pytest_fib.judge.arena import JudgeArena
from pytest_fib.judge.bench import Bench, Request, Tally, WrongOutput
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.config import Sampling
from pytest_fib.judge.examination import Examination, status_of
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.handover import Handover
from pytest_fib.judge.schedule import PROBES, Schedule, plan_schedule
from pytest_fib.judge.trials import Trial, latency_of
from pytest_fib.measure import gate
from pytest_fib.measure.scores import geometric_mean

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession

_SAMPLING = Sampling(warmup_runs=6, iterations=36, trials=gate.LEAST_BLOCKS)
_BLOCK_S = 0.04  # of timed calls of the slower solution in one block
_STAGE_S = 5.5
_PATIENCE = 4  # times that, to tell whether a candidate is unsteady
_TURN, _TURN_NS = 6, 5_000_000  # of one candidate: requests, and how long they may take unless it is only one
# Numbers of calls that one block may use; those of the evaluation are below the first.
_CALLS_OF_BLOCK = 1 << 20
_BLOCKS_OF_STAGE = 64


class Arm(Examination):
    """One of the two solutions of a pair; each of its candidates lives for one block."""

    @property
    def _keeps_candidates(self) -> bool:
        return False

    def build(self) -> None:
        """Build the solution, or find it built; raises CandidateError."""
        self._artifact_dir, _ = self._session.build(self._definition, self._loaded)

    def inputs(self) -> InputPlan:
        """Return the plan of the inputs, which does not depend on the solution."""
        return self._plan_inputs(self._workload, vary=self._choice.varied)

    def arena(self, inputs: InputPlan, other: Arm) -> JudgeArena:
        """Return memory that suits both solutions."""
        shapes = self._output_shapes(self._workload)
        mine, others = (arm._arena_plan(inputs, shapes) for arm in (self, other))
        writable = mine.writable_inputs or others.writable_inputs
        return JudgeArena(replace(mine, writable_inputs=writable), self._random("arena of both"))

    def bench(self, inputs: InputPlan, arena: JudgeArena) -> Bench:
        """Return what stays the same for all blocks of this solution."""
        bench = self._bench(inputs, arena, self._output_shapes(self._workload))
        return replace(bench, samples=None)

    def random(self, purpose: str) -> np.random.Generator:
        """Return secret randomness, the same again for the same purpose."""
        return self._random(purpose)

    def handovers(self, bench: Bench, calls: int) -> tuple[Handover, Handover]:
        """Return the hand-over of requests of ``calls`` calls and of one; nothing else may run meanwhile."""
        return self._handover(bench, calls, calls), self._handover(bench, 1, calls)

    def probe(self, bench: Bench) -> float:
        """Return roughly what one call takes, in nanoseconds; raises CandidateError, also for a wrong output."""
        with self._home() as keeper, self._candidate(keeper, bench.arena, 0) as candidate:
            probes = bench.run(candidate, [Request()] * PROBES)
        return float(min(probe.elapsed for probe in probes[1:]))

    @contextmanager
    def standing_by(self, bench: Bench) -> Iterator[Candidate]:
        """Yield a fresh candidate that is stopped until it is its turn; raises CandidateError."""
        self._tally = bench.tally
        with self._home() as keeper, self._candidate(keeper, bench.arena, 0) as candidate:
            candidate.stop()
            yield candidate

    def requests(self, bench: Bench, schedule: Schedule) -> list[Request]:
        """Return the requests of one block in their secret order, the warm-up first."""
        return self._requests(schedule, bench)

    def serve(
        self, bench: Bench, candidate: Candidate, requests: Sequence[Request], verify: int | None
    ) -> list[Interval]:
        """Return the intervals of one turn, after which memory tells the other solution nothing of it."""
        intervals = bench.run(candidate, requests, verify, verify_later=True)
        bench.arena.clear({index for request in requests for index in request.sets})
        return intervals

    def failed(self, evaluation: Evaluation, failure: CandidateError) -> Evaluation:
        """Return the evaluation of a solution that was right at first and then was not."""
        failed = self._evaluation(failure, evaluation.timing, evaluation.wall_seconds)
        return replace(
            failed,
            build_seconds=evaluation.build_seconds,
            remarks=evaluation.remarks,
            synthesized=evaluation.synthesized,
            calls=evaluation.calls,
            verified_calls=evaluation.verified_calls,
        )


class Pairing:
    """Compares ``loaded`` with ``baseline`` on ``workload``; used once.

    Parameters
    ----------
    margin
        The slow-down that is allowed (0.02: 2 %).
    """

    def __init__(
        self,
        session: JudgeSession,
        definition: Definition,
        workload: Workload,
        loaded: LoadedSolution,
        traceset_root: Path | None,
        baseline: LoadedSolution,
        margin: float,
    ) -> None:
        self._session = session
        self._name = baseline.solution.name
        self._margin = margin
        self._ours, self._theirs = (
            Arm(session, definition, workload, solution, traceset_root) for solution in (loaded, baseline)
        )
        self._spent = Tally()

    def compare(self, evaluation: Evaluation) -> Evaluation:
        """Return ``evaluation``, of a solution that passed and was timed, with what the comparison found.

        A candidate that fails in one of the blocks fails as it would have failed before; a baseline that does leaves
        the evaluation without a verdict of the gate.
        """
        start = time.perf_counter()
        try:
            gating = self._gating(evaluation)
        except _NoBaseline as reason:
            gating = Gating(self._name, self._margin, reason=str(reason))
        except CandidateError as failure:
            evaluation = self._ours.failed(evaluation, failure)
            gating = Gating(self._name, self._margin, reason="the solution failed during the comparison")
        return replace(
            evaluation,
            gating=gating,
            remarks=(*evaluation.remarks, *self._ours.watch.remarks()),
            calls=evaluation.calls + self._spent.calls,
            verified_calls=evaluation.verified_calls + self._spent.verified_calls,
            wall_seconds=evaluation.wall_seconds + time.perf_counter() - start,
        )

    def _gating(self, evaluation: Evaluation) -> Gating:
        assert evaluation.timing is not None
        self._ours.build()
        with _of_baseline():
            self._theirs.build()
        inputs = self._ours.inputs()
        arena = self._ours.arena(inputs, self._theirs)
        try:
            benches = self._ours.bench(inputs, arena), self._theirs.bench(inputs, arena)
            blocks = self._blocks(benches, evaluation.timing.latency_ms * 1e6)
            stages = [blocks.first_stage()]
            # What is going to fail is measured again, whether it is slower or hides in noise of its own.
            verdict = gate.find_first(_ratios(stages[0]), self._margin).verdict
            if verdict == "SLOWER" or (verdict == "AMBIGUOUS" and _is_unsteady(stages[0])):
                stages.append(blocks.second_stage(stages[0]))
            self._conclude(benches)
            return gating_of(self._name, self._margin, stages)
        finally:
            arena.close()

    def _blocks(self, benches: tuple[Bench, Bench], our_call_ns: float) -> _Blocks:
        ours, theirs = benches
        with self._session.lock.timing():
            apart = replace(theirs, tally=Tally(), taken=[])
            with _of_baseline():
                probed = self._theirs.probe(apart)
            their_call_ns = max(1.0, probed - self._ours.handovers(ours, 1)[0].ordinary)
            reference_ns = statistics.median(apart.tally.reference_ns)
            schedule = _schedule(our_call_ns, their_call_ns, reference_ns, ours)
            handovers = self._ours.handovers(ours, schedule.calls_per_request)
        request_ns = max(our_call_ns, their_call_ns) * schedule.calls_per_request
        turn = max(1, min(_TURN, int(_TURN_NS / request_ns)))
        return _Blocks(
            self._session,
            self._ours,
            self._theirs,
            benches,
            schedule,
            turn,
            handovers,
            self._margin,
            self._spent,
        )

    @staticmethod
    def _conclude(benches: tuple[Bench, Bench]) -> None:
        """Hear what all calls show together, of rules that want to see many."""
        ours, theirs = (bench.verifier.conclude() for bench in benches)
        if ours.mismatch is not None:
            raise WrongOutput(ours)
        if theirs.mismatch is not None:
            with _of_baseline():
                raise WrongOutput(theirs)


@dataclass
class _Blocks:
    """Makes blocks: everything that stays the same for all of one pair; ``spent`` is what the candidate did."""

    session: JudgeSession
    ours: Arm
    theirs: Arm
    benches: tuple[Bench, Bench]
    schedule: Schedule
    turn: int
    handovers: tuple[Handover, Handover]
    margin: float
    spent: Tally
    made: int = 0
    seconds: float = 0.0

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
        for number in numbers:
            with self.session.lock.timing():
                start = time.monotonic()
                blocks.append(self.ours.watch.steady(partial(self._pair, number)))
                self.seconds += time.monotonic() - start
                self.made += 1
        return blocks

    def _pair(self, number: int) -> tuple[Trial, Trial]:
        """Return one block of the candidate and one of the baseline; what both wrote is verified."""
        mine, others = (self._bench(bench, number) for bench in self.benches)
        ours, theirs = _Side(self.ours, mine, nullcontext), _Side(self.theirs, others, _of_baseline)
        sides = (ours, theirs) if _is_ahead(number) else (theirs, ours)
        try:
            with ExitStack() as stack:
                # What was wrong before is what is told, and that of the candidate rather than of the baseline.
                stack.callback(ours.verify)
                stack.callback(theirs.verify)
                take_turns(sides, self.schedule, self.turn)
        finally:
            self.spent.calls += mine.tally.calls
            self.spent.verified_calls += mine.tally.verified_calls
        return ours.trial(self.schedule), theirs.trial(self.schedule)

    def _bench(self, bench: Bench, number: int) -> Bench:
        """Return the bench of one block: for both solutions the same inputs, and requests in the same order."""
        inputs = Shifted(bench.inputs, (1 + number) * _CALLS_OF_BLOCK)
        return replace(
            bench, inputs=inputs, tally=Tally(), taken=[], random=self.ours.random(f"block {number}")
        )

    def _stage(self, blocks: Sequence[tuple[Trial, Trial]]) -> Stage:
        ours, theirs = ([block[side] for block in blocks] for side in (0, 1))
        return Stage(self._latencies(ours), self._latencies(theirs))

    def _latencies(self, trials: list[Trial]) -> tuple[float, ...]:
        """Return the latency of each block in milliseconds, by the same rules as that of an evaluation."""
        latency = latency_of(trials, self.schedule.calls_per_request, *self.handovers)
        return tuple(statistics.median(trial) / 1e6 for trial in latency.trials)


@dataclass
class _Side:
    """One of the two in one block; ``blamed`` turns what goes wrong on this side into what it means for the item."""

    arm: Arm
    bench: Bench
    blamed: Callable[[], AbstractContextManager[None]]
    requests: list[Request] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    warmups: int = 0

    def start(self, schedule: Schedule, warmups: int) -> None:
        """Draw the requests of a block anew, of which so many are no samples."""
        self.requests = self.arm.requests(self.bench, schedule)[schedule.warmups - warmups :]
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


def take_turns(sides: tuple[_Side, _Side], schedule: Schedule, length: int) -> None:
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
    sides: tuple[_Side, _Side], candidates: Sequence[Candidate], verified: int | None, length: int
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


class _NoBaseline(Exception):
    """The baseline cannot be compared with; the message says why."""


@contextmanager
def _of_baseline() -> Iterator[None]:
    """Turn what the baseline does wrong into a reason why there is no verdict."""
    try:
        yield
    except CandidateError as failure:
        lines = [line for line in failure.log.splitlines() if line.strip()]
        said = "" if isinstance(failure, WrongOutput) or not lines else f" ({escape(lines[-1].strip(), 200)})"
        raise _NoBaseline(f"the baseline itself is {status_of(failure).value} here{said}") from None


def gating_of(baseline: str, margin: float, stages: Sequence[Stage]) -> Gating:
    """Return what the blocks of one stage, or of both, say."""
    first = gate.find_first(_ratios(stages[0]), margin)
    last, second = first, None
    if len(stages) > 1:
        last = second = gate.find_second(_ratios(stages[1]), margin)
    deciding = stages[-1]
    verdict = gate.confirmed(first, second)
    scatter = statistics.stdev(_ratios(deciding))
    return Gating(
        baseline=baseline,
        margin=margin,
        verdict=verdict,
        ratio=last.ratio,
        ratio_ci=last.ratio_ci,
        latency_ms=geometric_mean(deciding.candidate_ms),
        baseline_latency_ms=geometric_mean(deciding.baseline_ms),
        stages=tuple(stages),
        scatter=scatter,
        detectable=gate.smallest_detectable(scatter, len(deciding.candidate_ms), margin),
        unsteady=verdict == "AMBIGUOUS" and len(stages) > 1 and all(map(_is_unsteady, stages)),
    )


def _schedule(our_call_ns: float, their_call_ns: float, reference_ns: float, bench: Bench) -> Schedule:
    """Return the requests of every block of both: enough for the faster, affordable for the slower."""
    faster, slower = sorted((our_call_ns, their_call_ns))
    budget_s = _BLOCK_S * _SAMPLING.trials * faster / slower
    sampling = replace(_SAMPLING, budget_s=budget_s)
    sets = bench.arena.plan.inputs.sets
    return plan_schedule(sampling, faster, reference_ns, sets, bench.inputs.varied)


def _ratios(stage: Stage) -> list[float]:
    return gate.log_ratios(stage.candidate_ms, stage.baseline_ms)


def _scatter(stage: Stage) -> float:
    return gate.scatter_of(_ratios(stage))


def _is_unsteady(stage: Stage) -> bool:
    return gate.is_unsteady(stage.candidate_ms, stage.baseline_ms)
