"""Where calls run: what the judge has to know about the CPU or a device, and how latencies are taken there.

Everything that differs between them is behind ``Place``. The CPU's is here; a device's is in ``cuda``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pytest_fib.border.arena import Plan
from pytest_fib.data.evaluation import Clock
from pytest_fib.inputs.repeating import Repeating
from pytest_fib.judge.arena import Arena, JudgeArena
from pytest_fib.judge.bench import Bench, Request, Tally
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.config import Sampling
from pytest_fib.judge.handover import EQUAL_CALLS, Handover
from pytest_fib.judge.schedule import MAX_CALLS_PER_REQUEST, PROBES, Schedule, plan_schedule
from pytest_fib.judge.trials import PROCESSOR, Slack, Trial

PLACES = 4  # buffers that a call may find its inputs in
_ARENA_BYTES = 64 << 20


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
        Returns the hand-over of requests of so many calls among others of so many.
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
    handover: Callable[[Bench, int, int], Handover]
    trusted: Callable[[str], AbstractContextManager[Candidate]]
    trial: Callable[[Bench, Candidate, Schedule], Trial]
    reference_ns: Callable[[], float]

    @staticmethod
    def apart(bench: Bench) -> Bench:
        """Return a bench for calls of the judge's own, which are not the solution's."""
        return replace(
            bench, tally=Tally(), taken=[], samples=None, inputs=Repeating(bench.inputs, EQUAL_CALLS)
        )

    def schedule(self, probes: list[Interval], single: Handover) -> Schedule:
        """Return the schedule after the first calls, of which the very first says nothing."""
        return plan_schedule(
            self.sampling,
            max(1.0, min(probe.elapsed for probe in probes[1:]) - single.ordinary),
            self.reference_ns(),
            self.bench.arena.plan.inputs.sets,
            self.bench.inputs.varied,
            self.interpreted,
        )


@dataclass(frozen=True)
class Measured:
    """The trials of one solution on one workload, and how they are to be read.

    Attributes
    ----------
    several, single
        The hand-over of requests of as many calls as the schedule says, and of one call.
    clock
        What told the time.
    boundary_ns
        What lies between two calls and belongs to neither: subtracted from each.
    """

    trials: list[Trial]
    schedule: Schedule
    several: Handover
    single: Handover
    slack: Slack
    clock: Clock = "judge"
    boundary_ns: float = 0.0


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
    visible
        The device that candidates see, as the driver counts; empty for the CPU.
    architecture
        What code is compiled for there; empty if it does not matter.
    """

    is_device: bool
    arena_bytes: int
    most_sets: int
    shares_writable: bool
    candidates_last: bool
    visible: str
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


class Processor:
    """The CPU: a fresh candidate for every trial."""

    is_device = False
    arena_bytes = _ARENA_BYTES
    most_sets = MAX_CALLS_PER_REQUEST + PLACES
    shares_writable = False
    candidates_last = False
    visible = ""
    architecture = ""

    def arena(self, plan: Plan, random: np.random.Generator) -> Arena:
        """Return sealed memory files."""
        return JudgeArena(plan, random)

    def measure(self, stand: Stand) -> Measured:
        """Take latencies from "go" to "done"."""
        bench = stand.bench
        schedule: Schedule | None = None
        single = several = Handover()
        trials: list[Trial] = []
        for trial in range(stand.sampling.trials):
            with stand.candidate(trial) as candidate:
                if schedule is None:
                    probes = bench.run(candidate, [Request()] * PROBES)
                    single = several = stand.handover(bench, 1, 1)
                    schedule = stand.schedule(probes, single)
                    calls = schedule.calls_per_request
                    if calls > 1:
                        several, single = (stand.handover(bench, each, calls) for each in (calls, 1))
                trials.append(stand.trial(bench, candidate, schedule))
        assert schedule is not None
        return Measured(trials, schedule, several, single, PROCESSOR)
