"""One solution on one workload: from inputs and build to trials and the evaluation."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation, Timing
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.data.workload import Workload, WorkloadTolerance
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.repeating import Repeating
from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.candidates import Candidates
from pytest_fib.judge.config import Tolerance
from pytest_fib.judge.failures import CandidateError, IntegrityViolation
from pytest_fib.judge.handover import Asked, Handover, Rounds
from pytest_fib.judge.neighbours import described, neighbours
from pytest_fib.judge.places import ROUND_EVERY, Measured, Stand
from pytest_fib.judge.requests import plan_requests
from pytest_fib.judge.rules import choose
from pytest_fib.judge.schedule import Schedule
from pytest_fib.judge.scrutiny import NEARBY_CALLS, Scrutiny, imprecise, unpublished, wrong_elsewhere
from pytest_fib.judge.setting import Setting
from pytest_fib.judge.trials import Trial
from pytest_fib.judge.verification import Tally, WrongOutput
from pytest_fib.judge.zygote import Keeper
from pytest_fib.measure.interval import log_t_interval
from pytest_fib.measure.warmup import outliers

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession

_NEAR_FLOOR = 1.3
_LONG_WAIT_S = 5.0
_REPEATED = 8  # calls in a row with the same inputs, where a rule wants further calls
_AT_ONCE = 4  # further requests between two looks at the time
_FURTHER_S = 2.0


@dataclass
class _Notes:
    """What is learnt on the way, wherever the way ends."""

    build_seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    synthesized: tuple[str, ...] = ()
    error_ratio: float | None = None
    unsettled: int = 0  # trials whose latencies still changed after a second warm-up

    def remark(self, text: str) -> None:
        if text and text not in self.remarks:
            self.remarks.append(text)


class Examination:
    """Judges ``loaded`` on ``workload``; used once."""

    _candidates_may_last = True

    def __init__(
        self,
        session: JudgeSession,
        definition: Definition,
        workload: Workload,
        loaded: LoadedSolution,
        traceset_root: Path | None,
    ) -> None:
        self._session = session
        self._config = session.config
        self._definition = definition
        self._workload = workload
        self._loaded = loaded
        self._tally = Tally()
        self._notes = _Notes(remarks=list(loaded.notes))
        self.watch = session.watch()
        config = session.config
        choice = choose(definition, tolerance_of(workload.tolerance), config.tolerance, lines=config.rules)
        self._setting = Setting(session, definition, workload, loaded, choice, traceset_root)
        self._candidates = Candidates(
            session, definition, loaded, choice.optional, self._notes.remark, self._candidates_may_last
        )

    def evaluate(self) -> Evaluation:
        """Return the finding; whatever the candidate does becomes a status here and nowhere else."""
        start = time.perf_counter()
        waited = self._session.lock.waited_s
        timing: Timing | None = None
        failure: CandidateError | None = None
        inputs = self._setting.inputs()
        if inputs.synthesized:
            self._notes.synthesized = inputs.synthesized
            self._notes.remark(
                f"synthesized inputs: {', '.join(escape(name, 40) for name in inputs.synthesized)}"
            )
        # Compiled before anything is built: a broken definition is not the solution's failure.
        reference = self._setting.reference
        try:
            self._notes.build_seconds = self._candidates.build()
            timing = self._judge(inputs)
        except CandidateError as error:
            failure = error
        for name in reference.undeclared:
            self._notes.remark(
                f"the reference writes input {escape(name, 40)}, which solutions must not: if they should, add "
                f"in_place={escape(name, 40)} to a line of the ini option fib_rules"
            )
        waited = self._session.lock.waited_s - waited
        if waited > _LONG_WAIT_S:
            self._notes.remark(f"waited {waited:.0f} s for other runs on this machine to measure")
        return self._evaluation(failure, timing, time.perf_counter() - start)

    def _judge(self, inputs: InputPlan) -> Timing | None:
        timing: Timing | None = None
        setting = self._setting
        shapes = setting.output_shapes()
        arena = self._session.place.arena(setting.plan(inputs, shapes), setting.random("arena"))
        try:
            with self._candidates.home() as keeper:
                bench = setting.bench(inputs, arena, shapes, self._tally)
                if self._config.sampling.timing:
                    timing = self._timed_trials(bench, keeper)
                else:
                    attached = self._candidates.attached(keeper, arena, 0)
                    with self._session.lock.working(), attached as candidate:
                        bench.run(candidate, [Request()] * self._untimed_calls(inputs))
                self._hear_the_rule(bench, keeper)
                # Candidates that are kept are for quick runs, in which a closer look would be most of the time.
                if self._config.isolation == "workload" or self._config.strict:
                    self._look_closer(bench, keeper)
            return timing
        finally:
            self._candidates.end()
            arena.close()

    def _untimed_calls(self, inputs: InputPlan) -> int:
        """Return how many calls decide where nothing is timed: as many as trials, and some with other inputs."""
        trials = max(1, self._config.sampling.trials)
        return trials + math.ceil((trials + 4) / 3) if inputs.varied else trials

    def _hear_the_rule(self, bench: Bench, keeper: Keeper) -> None:
        """Make the calls that the rule wants beyond the others, as far as there is time; hear what all show."""
        verification = bench.verification
        wanted = verification.verifier.further_calls(self._tally.verified_calls)
        if wanted:
            # No candidate can tell these calls from timed ones, except that inputs come back.
            repeating = Repeating(bench.inputs, _REPEATED)
            apart = replace(bench, inputs=repeating, verification=replace(verification, referenced=False))
            request = Request(min(bench.arena.plan.inputs.sets, _REPEATED))
            lock = self._session.lock.timing() if bench.cores else self._session.lock.working()
            with self._candidates.attached(keeper, bench.arena, 0) as candidate, lock:
                end = time.monotonic() + _FURTHER_S
                requests = math.ceil(wanted / request.calls)
                while requests > 0 and time.monotonic() < end:
                    apart.run(candidate, [request] * min(requests, _AT_ONCE))
                    requests -= _AT_ONCE
        self._tally.comparison = self._tally.comparison.merge(verification.verifier.conclude())
        if self._tally.comparison.mismatch is not None:
            raise WrongOutput(self._tally.comparison)

    def _look_closer(self, bench: Bench, keeper: Keeper) -> None:
        """Remark on what the official rule lets pass; raise CandidateError for it where the run is strict."""
        scrutiny = Scrutiny.strict() if self._config.strict else Scrutiny()
        with self._session.lock.working():
            self._notes.error_ratio = scrutiny.error_ratio(bench)
            near = self._nearby_bench(scrutiny) if scrutiny.affords_shapes(self._tally) else None
            found = [
                wrong_elsewhere(self._tally.others),
                imprecise(self._notes.error_ratio),
                "" if near is None else self._wrong_nearby(*near, keeper),
            ]
        found = [text for text in found if text]
        for text in found:
            self._notes.remark(text)
        if found and self._config.strict:
            raise CandidateError("\n".join(["strict:", *found]), EvaluationStatus.INCORRECT_NUMERICAL)

    def _nearby_bench(self, scrutiny: Scrutiny) -> tuple[str, Bench] | None:
        """Return what is different and the bench of a shape beside the workload's, if one is valid and small."""
        setting = self._setting
        for near in neighbours(self._definition, self._workload, setting.random("shape")):
            try:
                inputs = setting.inputs(near, vary=False)
                shapes = setting.output_shapes(near)
                if not scrutiny.affords_bytes(inputs.nbytes):
                    return None
                # Does the reference know this shape?
                setting.reference({**inputs.draw(0), **inputs.scalars}, shapes)
            except (DataError, NotJudgeable):
                continue
            plan = setting.plan(inputs, shapes, sets=1)
            arena = self._session.place.arena(plan, setting.random("nearby arena"))
            bench = setting.bench(inputs, arena, shapes, Tally())
            timeout = min(self._config.limits.timeout_s, scrutiny.nearby_timeout_s)
            return described(near, self._workload), replace(bench.apart(), cores=None, timeout_s=timeout)
        return None

    def _wrong_nearby(self, difference: str, bench: Bench, keeper: Keeper) -> str:
        """Return what is wrong with the solution there, judged in a fresh candidate."""
        printed = self._candidates.output
        try:
            with self._candidates.attached(keeper, bench.arena, -1) as candidate:
                bench.run(candidate, [Request()] * NEARBY_CALLS)
        except CandidateError as error:
            return unpublished(difference, status_of(error).value, error)
        finally:
            bench.arena.close()
            self._candidates.output = printed
        return ""

    def _timed_trials(self, bench: Bench, keeper: Keeper) -> Timing:
        measured = self._measured(bench, keeper)
        if self._tally.others.wrong and not self._config.strict:
            # Answers that need not be right may be quick ones: what is told is of calls that have to be right.
            self._notes.remark(
                "timed again with normal inputs alone, because others were answered wrongly; --fib-strict fails that"
            )
            bench = replace(bench, inputs=self._setting.inputs(vary=False))
            self._notes.unsettled = 0
            self._tally.waited_ns = 0  # the limit of time is for as many calls as there would be without this
            measured = self._measured(bench, keeper)
        return self._timing(bench, measured)

    def _measured(self, bench: Bench, keeper: Keeper) -> Measured:
        @contextmanager
        def candidate(trial: int) -> Iterator[Candidate]:
            attached = self._candidates.attached(keeper, bench.arena, trial)
            with attached as started, self._session.lock.timing():
                yield started
            self._candidates.prepare_next(keeper)
            bench.verify()

        stand = Stand(
            bench,
            self._config.sampling,
            self._loaded.solution.spec.language == "triton" and not self._session.place.is_device,
            candidate,
            self._handover,
            partial(self._rounds, bench),
            self._rough_handover,
            partial(self._candidates.trusted, arena=bench.arena),
            self._trial,
            lambda: statistics.median(self._tally.reference_ns),
        )
        try:
            return self._session.place.measure(stand)
        finally:
            bench.verify()  # what was wrong before is what is told, whatever came after

    def _timing(self, bench: Bench, measured: Measured) -> Timing:
        trials, schedule, several = measured.trials, measured.schedule, measured.reading.several
        latency = measured.reading.latency(trials, schedule.calls_per_request)
        for remark in latency.remarks:
            self._notes.remark(remark)
        # One trial may look so by chance.
        if self._notes.unsettled > len(trials) // 2:
            self._notes.remark(
                "not stationary: latencies still changed after a second warm-up in most trials"
            )
        if self._session.cores.shared:
            self._notes.remark("judge and candidate shared one core: latencies are too long")
        samples = [sample for trial in latency.trials for sample in trial]
        floor = self._session.floors.of(self._definition, self._workload, bench.arena.plan, bench.inputs)
        self._check_floor(statistics.median(samples), floor.impossible_ns)
        uncertainty_ms = several.uncertainty / schedule.calls_per_request / 1e6
        medians = [statistics.median(trial) / 1e6 for trial in latency.trials]
        return Timing(
            trials_ms=tuple(tuple(sample / 1e6 for sample in trial) for trial in latency.trials),
            reference_latency_ms=statistics.median(self._tally.reference_ns) / 1e6,
            handover_ms=several.ordinary / 1e6,
            calls_per_request=schedule.calls_per_request,
            ci95_ms=log_t_interval(medians, clock=uncertainty_ms),
            floor_ms=floor.least_ms,
            outliers=outliers(samples),
            clock_uncertainty_ms=uncertainty_ms,
            clock=measured.reading.clock,
        )

    def _check_floor(self, latency_ns: float, floor: float | None) -> None:
        """A latency below the declared floor is impossible; one that is near deserves a look."""
        if floor is None or latency_ns >= _NEAR_FLOOR * floor:
            return
        seen = f"a latency of {latency_ns / 1e3:.3g} µs where the least possible is {floor / 1e3:.3g} µs"
        if latency_ns < floor:
            raise IntegrityViolation(seen)
        self._notes.remark(seen)

    def _trial(self, bench: Bench, candidate: Candidate, schedule: Schedule) -> Trial:
        """Return one trial without its warm-up, made again where the device was slowed down meanwhile."""
        return self.watch.steady(partial(self._settled_trial, bench, candidate, schedule))

    def _settled_trial(self, bench: Bench, candidate: Candidate, schedule: Schedule) -> Trial:
        """Return one trial without its warm-up; one that does not settle is made once more and then counted."""
        calls = schedule.calls_per_request
        for warmups in (schedule.warmups, 0):
            requests = plan_requests(schedule, bench.arena.plan.inputs.sets, bench.random)
            requests = requests[schedule.warmups - warmups :]
            intervals = bench.run(candidate, requests, schedule.verified, verify_later=True, warmups=warmups)
            trial = Trial(requests[warmups:], intervals[warmups:])
            if trial.is_stationary(calls):
                return trial.warm(calls)
        self._notes.unsettled += 1
        return trial

    def _handover(self, bench: Bench, asked: Asked) -> tuple[Handover, Handover]:
        return self._session.handovers.both(bench, asked, partial(self._candidates.idle, arena=bench.arena))

    def _rough_handover(self, bench: Bench) -> Handover:
        return self._session.handovers.roughly(bench, partial(self._candidates.idle, arena=bench.arena))

    def _rounds(self, bench: Bench, asked: Asked) -> Rounds:
        rounds = math.ceil(self._config.sampling.trials / ROUND_EVERY)
        idle = partial(self._candidates.idle, arena=bench.arena)
        shared_by = self._candidates.idle_artifact if self._candidates.keeps else None
        return self._session.handovers.rounds(bench, asked, idle, rounds, shared_by)

    def _evaluation(self, failure: CandidateError | None, timing: Timing | None, wall: float) -> Evaluation:
        tally, notes = self._tally, self._notes
        comparison = failure.comparison if isinstance(failure, WrongOutput) else tally.comparison
        compared = tally.verified_calls > 0
        spent = tally.call_ns + sum(tally.reference_ns)
        return Evaluation(
            definition=self._definition.name,
            op_type=self._definition.op_type,
            workload=self._workload.uuid,
            axes=dict(self._workload.axes),
            solution=self._loaded.solution.name,
            solution_hash=self._loaded.solution.content_hash,
            status=status_of(failure),
            timestamp=datetime.now(timezone.utc).astimezone().isoformat(),
            log="" if failure is None or isinstance(failure, WrongOutput) else failure.log,
            output=self._candidates.output,
            mismatch=comparison.mismatch,
            max_absolute_error=comparison.max_absolute_error if compared else None,
            max_relative_error=comparison.max_relative_error if compared else None,
            matched_ratio=comparison.matched_ratio if compared else None,
            error_ratio=notes.error_ratio,
            timing=timing,
            verified_calls=tally.verified_calls,
            calls=tally.calls,
            predictable_inputs=self._config.seed is not None,
            seed=self._config.seed,
            wall_seconds=wall,
            overhead_seconds=max(0.0, wall - spent / 1e9 - notes.build_seconds),
            build_seconds=notes.build_seconds,
            device=self._config.device,
            threads=self._session.threads,
            integrity_detail=failure.seen if isinstance(failure, IntegrityViolation) else "",
            sandbox=self._session.sandbox,
            remarks=(*notes.remarks, *self.watch.remarks()),
            conditions=self.watch.conditions(),
            synthesized=notes.synthesized,
        )


def status_of(failure: CandidateError | None) -> EvaluationStatus:
    """Return the official status of what came out."""
    if failure is None:
        return EvaluationStatus.PASSED
    return EvaluationStatus.INCORRECT_NUMERICAL if isinstance(failure, WrongOutput) else failure.status


def tolerance_of(given: WorkloadTolerance | None) -> Tolerance | None:
    """A workload's own tolerance is written for the ``allclose`` formula."""
    if given is None:
        return None
    return Tolerance(
        "allclose", given.max_rtol, given.max_atol, given.required_matched_ratio, given.max_error_cap
    )
