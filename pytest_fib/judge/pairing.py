"""Two solutions side by side on one workload, in blocks of fresh candidates: what the gate's verdict comes from.

The other solution's processes are gone while one runs. Both use the same buffers, because a lasting difference in
memory layout would look like one in speed, and both get the same inputs, other ones in each block.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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

_SAMPLING = Sampling(warmup_runs=6, iterations=20, trials=gate.LEAST_BLOCKS)
_BLOCK_S = 0.04  # of timed calls of the slower solution in one block
_STAGE_S = 5.5
_CALLS_OF_BLOCK = (
    1 << 20
)  # numbers of calls that one block may use; those of the evaluation are below the first
_BLOCKS_OF_STAGE = 64


class Arm(Examination):
    """One of the two solutions of a pair; each of its candidates lives for one block."""

    def __init__(
        self,
        session: JudgeSession,
        definition: Definition,
        workload: Workload,
        loaded: LoadedSolution,
        traceset_root: Path | None,
    ) -> None:
        super().__init__(session, definition, workload, loaded, traceset_root)
        self._keeps_candidates = False

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

    def block(self, bench: Bench, schedule: Schedule) -> Trial:
        """Return the timed requests of a fresh candidate.

        Raises
        ------
        CandidateError
            Whatever the candidate did wrong; what it wrote is verified before this returns.
        """
        self._tally = bench.tally
        try:
            with self._home() as keeper, self._candidate(keeper, bench.arena, 0) as candidate:
                return self._trial(bench, candidate, schedule)
        finally:
            bench.verify()

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
            stages = [blocks.stage(0)]
            if gate.find(_ratios(stages[0]), self._margin).verdict == "SLOWER":
                stages.append(blocks.stage(1, least=len(stages[0].candidate_ms)))
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
        return _Blocks(
            self._session, self._ours, self._theirs, benches, schedule, handovers, self._margin, self._spent
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


@dataclass(frozen=True)
class _Blocks:
    """Makes blocks: everything that stays the same for all of one pair; ``spent`` is what the candidate did."""

    session: JudgeSession
    ours: Arm
    theirs: Arm
    benches: tuple[Bench, Bench]
    schedule: Schedule
    handovers: tuple[Handover, Handover]
    margin: float
    spent: Tally

    def stage(self, number: int, least: int = gate.LEAST_BLOCKS) -> Stage:
        """Return as many blocks as their scatter asks for, or as there is time for: ``least`` to 25."""
        ours: list[Trial] = []
        theirs: list[Trial] = []
        wanted, seconds = least, 0.0
        while len(ours) < wanted:
            with self.session.lock.timing():
                start = time.monotonic()
                mine, others = self._pair(number * _BLOCKS_OF_STAGE + len(ours))
                seconds += time.monotonic() - start
            ours.append(mine)
            theirs.append(others)
            if len(ours) >= least:
                needed = gate.blocks_for(_scatter(self._stage(ours, theirs)), self.margin)
                affordable = int(_STAGE_S * len(ours) / seconds)
                wanted = max(least, min(needed, affordable))
        return self._stage(ours, theirs)

    def _pair(self, number: int) -> tuple[Trial, Trial]:
        """Return one block of the candidate and one of the baseline, in the order of ABBA BAAB."""
        if number.bit_count() % 2 == 0:
            ours = self._our_block(number)
            return ours, self._their_block(number)
        theirs = self._their_block(number)
        return self._our_block(number), theirs

    def _our_block(self, number: int) -> Trial:
        bench = self._bench(self.benches[0], number)
        try:
            return self.ours.block(bench, self.schedule)
        finally:
            self.spent.calls += bench.tally.calls
            self.spent.verified_calls += bench.tally.verified_calls

    def _their_block(self, number: int) -> Trial:
        with _of_baseline():
            return self.theirs.block(self._bench(self.benches[1], number), self.schedule)

    def _bench(self, bench: Bench, number: int) -> Bench:
        """Return the bench of one block: for both solutions the same inputs, and requests in the same order."""
        inputs = Shifted(bench.inputs, (1 + number) * _CALLS_OF_BLOCK)
        return replace(
            bench, inputs=inputs, tally=Tally(), taken=[], random=self.ours.random(f"block {number}")
        )

    def _stage(self, ours: list[Trial], theirs: list[Trial]) -> Stage:
        return Stage(self._latencies(ours), self._latencies(theirs))

    def _latencies(self, trials: list[Trial]) -> tuple[float, ...]:
        """Return the latency of each block in milliseconds, by the same rules as that of an evaluation."""
        latency = latency_of(trials, self.schedule.calls_per_request, *self.handovers)
        return tuple(statistics.median(trial) / 1e6 for trial in latency.trials)


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
    first = gate.find(_ratios(stages[0]), margin)
    last, second = first, None
    if len(stages) > 1:
        last = second = gate.find(_ratios(stages[1]), margin, gate.SECOND_ALPHA)
    deciding = stages[-1]
    verdict = gate.confirmed(first, second)
    scatter = _scatter(deciding)
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
        unsteady=verdict == "AMBIGUOUS" and gate.is_unsteady(deciding.candidate_ms, deciding.baseline_ms),
    )


def _schedule(our_call_ns: float, their_call_ns: float, reference_ns: float, bench: Bench) -> Schedule:
    """Return the requests of every block of both: enough for the faster, affordable for the slower."""
    faster, slower = sorted((our_call_ns, their_call_ns))
    budget_s = _BLOCK_S * _SAMPLING.trials * faster / slower
    sampling = replace(_SAMPLING, budget_s=budget_s)
    return plan_schedule(sampling, faster, reference_ns, bench.arena.plan.inputs.sets, bench.inputs.varied)


def _ratios(stage: Stage) -> list[float]:
    return gate.log_ratios(stage.candidate_ms, stage.baseline_ms)


def _scatter(stage: Stage) -> float:
    return statistics.stdev(_ratios(stage))
