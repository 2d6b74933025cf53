"""Two solutions side by side on one workload: what the gate's verdict comes from, in one or two stages of blocks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation, Gating, Stage
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.workload import Workload
from pytest_fib.judge.arm import Arm, NoBaseline, of_baseline
from pytest_fib.judge.bench import Bench
from pytest_fib.judge.blocks import Blocks, ratios
from pytest_fib.judge.candidate import Candidate, CannotGate
from pytest_fib.judge.failures import CandidateError, DeviceBusy
from pytest_fib.judge.places import Contest
from pytest_fib.judge.verification import Tally, WrongOutput
from pytest_fib.measure import gate
from pytest_fib.measure.scores import geometric_mean

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession


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
        self._tries = 0

    def compare(self, evaluation: Evaluation) -> Evaluation:
        """Return ``evaluation``, of a solution that passed and was timed, with what the comparison found.

        A candidate that fails in one of the blocks fails as it would have failed before; a baseline that does leaves
        the evaluation without a verdict of the gate.
        """
        start = time.perf_counter()
        try:
            gating = self._gating(evaluation)
        except NoBaseline as reason:
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
        with of_baseline():
            self._theirs.build()
        inputs = self._ours.inputs()
        arena = self._ours.arena(inputs, self._theirs)
        try:
            benches = self._ours.bench(inputs, arena), self._theirs.bench(inputs, arena)
            call_ns = evaluation.timing.latency_ms * 1e6
            gated = evaluation.timing.clock != "judge"
            stages, wrong_elsewhere = self._stages(benches, call_ns, gated)
            if wrong_elsewhere:
                # As where one is judged alone: answers that need not be right may be quick ones.
                inputs = self._ours.inputs(vary=False)
                benches = replace(benches[0], inputs=inputs), replace(benches[1], inputs=inputs)
                stages, _ = self._stages(benches, call_ns, gated)
            self._conclude(benches)
            return gating_of(self._name, self._margin, stages)
        finally:
            arena.close()

    def _stages(
        self, benches: tuple[Bench, Bench], our_call_ns: float, gated: bool
    ) -> tuple[list[Stage], bool]:
        """Return one stage or two, and whether a solution was wrong where inputs were not normal.

        If one of the two solutions cannot wait at a gate, neither does.
        """
        contest = self._contest(benches, our_call_ns)
        try:
            with self._session.lock.timing():
                terms = self._session.place.terms(contest, gated)
            tries, self._tries = self._tries, self._tries + 1
            blocks = Blocks(self._session, self._ours, self._theirs, terms, self._margin, self._spent, tries)
            stages = [blocks.first_stage()]
            # What is going to fail is measured again, whether it is slower or hides in noise of its own.
            verdict = gate.find_first(ratios(stages[0]), self._margin).verdict
            if verdict == "SLOWER" or (verdict == "AMBIGUOUS" and _is_unsteady(stages[0])):
                stages.append(blocks.second_stage(stages[0]))
            return stages, blocks.wrong_elsewhere
        except (CannotGate, DeviceBusy):
            if not gated:
                raise
        return self._stages(benches, our_call_ns, gated=False)

    def _contest(self, benches: tuple[Bench, Bench], our_call_ns: float) -> Contest:
        def probe(bench: Bench) -> float:
            with of_baseline():
                return self._theirs.probe(bench)

        @contextmanager
        def theirs(bench: Bench) -> Iterator[Candidate]:
            with of_baseline(), self._theirs.standing_by(bench) as candidate:
                yield candidate

        # One hand-over for both, where that is right: what is wrong with it is in both, then.
        same = self._theirs.goes_the_way_of(self._ours)
        return Contest(
            benches,
            our_call_ns,
            probe,
            (self._ours.handovers, (self._ours if same else self._theirs).handovers),
            (self._ours.standing_by, theirs),
            lambda source: self._ours.trusted(source, benches[0].arena),
        )

    @staticmethod
    def _conclude(benches: tuple[Bench, Bench]) -> None:
        """Hear what all calls show together, of rules that want to see many."""
        ours, theirs = (bench.verification.verifier.conclude() for bench in benches)
        if ours.mismatch is not None:
            raise WrongOutput(ours)
        if theirs.mismatch is not None:
            with of_baseline():
                raise WrongOutput(theirs)


def gating_of(baseline: str, margin: float, stages: Sequence[Stage]) -> Gating:
    """Return what the blocks of one stage, or of both, say."""
    first = gate.find_first(ratios(stages[0]), margin)
    last, second = first, None
    if len(stages) > 1:
        last = second = gate.find_second(ratios(stages[1]), margin)
    deciding = stages[-1]
    verdict = gate.confirmed(first, second)
    scatter = statistics.stdev(ratios(deciding))
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


def _is_unsteady(stage: Stage) -> bool:
    return gate.is_unsteady(stage.candidate_ms, stage.baseline_ms)
