"""One of two solutions that are compared on one workload: what it needs for its share of the blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np

from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.text import escape
from pytest_fib.inputs import InputPlan
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.examination import Examination, status_of
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.handover import Asked, Handover
from pytest_fib.judge.schedule import PROBES
from pytest_fib.judge.verification import WrongOutput


class Arm(Examination):
    """One of the two solutions of a pair; each of its candidates lives for one block."""

    _candidates_may_last = False

    def build(self) -> None:
        """Build the solution, or find it built; raises CandidateError."""
        self._candidates.build()

    def goes_the_way_of(self, other: Arm) -> bool:
        """Whether what a request costs beside its calls is the same for both, which are built."""
        return self._candidates.idle_artifact == other._candidates.idle_artifact

    def inputs(self, vary: bool | None = None) -> InputPlan:
        """Return the plan of the inputs, which does not depend on the solution.

        ``vary`` is whether some are not normal; by default as the rule wants it.
        """
        return self._setting.inputs(vary=vary)

    def arena(self, inputs: InputPlan, other: Arm) -> Arena:
        """Return memory that suits both solutions."""
        shapes = self._setting.output_shapes()
        mine, others = (arm._setting.plan(inputs, shapes) for arm in (self, other))
        writable = mine.writable_inputs or others.writable_inputs
        plan = replace(mine, writable_inputs=writable)
        return self._session.place.arena(plan, self._setting.random("arena of both"))

    def bench(self, inputs: InputPlan, arena: Arena) -> Bench:
        """Return what stays the same for all blocks of this solution."""
        setting = self._setting
        bench = setting.bench(inputs, arena, setting.output_shapes(), self._tally)
        return replace(bench, verification=replace(bench.verification, samples=None))

    def random(self, purpose: str) -> np.random.Generator:
        """Return secret randomness, the same again for the same purpose."""
        return self._setting.random(purpose)

    def handovers(self, bench: Bench, calls: int, call_ns: float) -> tuple[Handover, Handover]:
        """Return the hand-over of requests of ``calls`` calls and of one; nothing else may run meanwhile."""
        return self._handover(bench, Asked(calls, call_ns))

    def probe(self, bench: Bench) -> float:
        """Return roughly what one call takes, in nanoseconds; raises CandidateError, also for a wrong output."""
        with self._candidate(bench.arena) as candidate:
            probes = bench.run(candidate, [Request()] * PROBES)
        return float(min(probe.elapsed for probe in probes[1:]))

    @contextmanager
    def _candidate(self, arena: Arena) -> Iterator[Candidate]:
        with self._candidates.home() as keeper, self._candidates.attached(keeper, arena, 0) as candidate:
            yield candidate

    @contextmanager
    def standing_by(self, bench: Bench) -> Iterator[Candidate]:
        """Yield a fresh candidate that is stopped until it is its turn; raises CandidateError."""
        self._tally = bench.tally
        with self._candidate(bench.arena) as candidate:
            candidate.await_attached(self._config.limits.timeout_s)
            candidate.stop()
            if bench.gate is not None:
                # What a first call loads or compiles has to wait for what is at the gate, which waits for it.
                self.serve(replace(bench, gate=None), candidate, [Request()] * PROBES, None)
            yield candidate

    def trusted(self, source: str, arena: Arena) -> AbstractContextManager[Candidate]:
        """Yield a candidate that runs a source of the judge's own, attached."""
        return self._candidates.trusted(source, arena)

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


class NoBaseline(Exception):
    """The baseline cannot be compared with; the message says why."""


@contextmanager
def of_baseline() -> Iterator[None]:
    """Turn what the baseline does wrong into a reason why there is no verdict."""
    try:
        yield
    except CandidateError as failure:
        lines = [line for line in failure.log.splitlines() if line.strip()]
        said = "" if isinstance(failure, WrongOutput) or not lines else f" ({escape(lines[-1].strip(), 200)})"
        raise NoBaseline(f"the baseline itself is {status_of(failure).value} here{said}") from None
