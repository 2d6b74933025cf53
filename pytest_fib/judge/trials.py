"""From the intervals of all trials to one latency, and from witnesses to whether it can be believed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Interval
from pytest_fib.judge.handover import Handover
from pytest_fib.measure.warmup import mser_cut
from pytest_fib.measure.witness import contradicts, excess


@dataclass(frozen=True)
class Slack:
    """By how many nanoseconds an honest solution may differ from one that does nothing, beyond what that varies by.

    Attributes
    ----------
    single
        A call alone meets colder code than one of many.
    lead
        A large process wakes more slowly than an empty one, and the machine's load changes. What could be hidden in
        this much is seen by early requests.
    early
        So does a wake that the clock is in; on a device it brings a context back, too.
    fastest
        Whether the fastest early request is held against the fastest of a candidate that does nothing, and not
        against its slower ones.
    share
        The share of a request that may be taken for its hand-over: who rules a process may replace what makes its
        calls by something faster, and would gain the difference.
    """

    single: float
    lead: float
    early: float
    share: float = 1.0
    fastest: bool = False


# Times as slow as ordinary ones. Of honest solutions the fastest after a wake was not slower in what was measured.
_FASTEST = 1.3

PROCESSOR = Slack(single=300.0, lead=20_000.0, early=5_000.0, share=0.5, fastest=True)
# Of an interpreter, and of what is called from it, more code is cold in a call alone.
INTERPRETER = replace(PROCESSOR, single=2_000.0)

Trials = list[list[float]]


@dataclass(frozen=True)
class Trial:
    """The timed requests of one trial, in the order in which they were made."""

    requests: Sequence[Request]
    intervals: Sequence[Interval]

    def warm_up(self, calls: int) -> int:
        """Return how many requests at the beginning are warm-up still, by those of ``calls`` calls."""
        ordinary = [index for index, request in enumerate(self.requests) if request == Request(calls)]
        cut = mser_cut([self.intervals[index].elapsed for index in ordinary])
        return ordinary[cut] if cut else 0

    def is_stationary(self, calls: int) -> bool:
        """Whether no more than half of the requests are warm-up still."""
        return self.warm_up(calls) <= len(self.requests) // 2

    def warm(self, calls: int) -> Trial:
        """Return the requests after the warm-up; witnesses are kept from the beginning, they are few."""
        cut = self.warm_up(calls)
        kept = [
            pair
            for index, pair in enumerate(zip(self.requests, self.intervals, strict=True))
            if index >= cut or pair[0] != Request(calls)
        ]
        return Trial([request for request, _ in kept], [interval for _, interval in kept])


@dataclass
class Latency:
    """Net nanoseconds per call of every sample of every trial, and what had to be said about them."""

    trials: Trials
    remarks: list[str] = field(default_factory=list)


def latency_of(
    trials: Sequence[Trial],
    calls: int,
    several: Handover,
    single: Handover,
    slack: Slack = PROCESSOR,
    boundary_ns: float = 0.0,
) -> Latency:
    """Return the latency that ``trials`` show: that of ordinary requests, unless witnesses contradict it.

    Parameters
    ----------
    trials
        Ordinary requests of ``calls`` calls, early ones of as many, and, if ``calls`` is more than 1, single calls.
    calls
        Calls of an ordinary request.
    several, single
        The hand-over of a request of ``calls`` calls and of one call, subtracted here.
    slack
        By how much requests may differ for honest reasons.
    boundary_ns
        What lies between two calls and belongs to neither.
    """
    leads = [interval.lead for trial in trials for request, interval in _of(trial, calls, early=False)]
    # Time between the wake and the first beat that nobody who does nothing takes is time at work.
    charge = excess(leads, several.leads, slack.lead)
    ordinary = _net(trials, calls, False, several.ordinary - charge)
    # What is told in the end, where no witness is slower. Those are compared with what is left without the hand-over.
    least = _net(trials, calls, False, several.ordinary - charge, slack.share)
    result = Latency(least)
    early = _net(trials, calls, True, several.early)
    if slack.fastest:
        fastest = _net(trials, calls, True, several.early - several.early_spread)
        ahead = contradicts(_flat(fastest), _flat(ordinary), slack.early / calls, _FASTEST)
    else:
        ahead = contradicts(_flat(early), _flat(ordinary), (several.early_spread + slack.early) / calls)
    if ahead:
        result = _worse(
            result, early, 'works before it is told to: latency of requests whose "go" came first'
        )
    singles = _net(trials, 1, False, single.ordinary) if calls > 1 else []
    if contradicts(_flat(singles), _flat(ordinary), single.spread + slack.single):
        result = _worse(result, singles, "does several calls at once: latency of requests of one call")
    if charge > 0 and result.trials is least:
        result.remarks.append(
            f'its time from wake to "go", {charge / 1e3:.1f} µs a request, is counted as work'
        )
    result.trials = [[max(sample - boundary_ns, 1.0) for sample in trial] for trial in result.trials]
    return result


def per_call_ns(trials: Sequence[Trial], calls: int, handover: Handover) -> float:
    """Return the median nanoseconds per call of ordinary requests, of ``calls`` calls, whatever witnesses say."""
    elapsed = [interval.elapsed for trial in trials for _, interval in _of(trial, calls, early=False)]
    return max(1.0, statistics.median(elapsed) - handover.ordinary) / calls


def _of(trial: Trial, calls: int, early: bool) -> list[tuple[Request, Interval]]:
    wanted = Request(calls, early)
    return [pair for pair in zip(trial.requests, trial.intervals, strict=True) if pair[0] == wanted]


def _net(trials: Sequence[Trial], calls: int, early: bool, handover: float, share: float = 1.0) -> Trials:
    """Return nanoseconds per call without the ``handover``, of which there is at most that ``share`` of a request."""

    def net(elapsed: int) -> float:
        # Never below a nanosecond: a speed-up has to stay finite, and nothing is faster than the clock's tick.
        return max(elapsed - handover, elapsed * (1 - share), 1.0) / calls

    return [[net(interval.elapsed) for _request, interval in _of(trial, calls, early)] for trial in trials]


def _flat(trials: Trials) -> list[float]:
    return [sample for trial in trials for sample in trial]


def _worse(known: Latency, witnesses: Trials, remark: str) -> Latency:
    """Return the slower of what is known and what the witnesses say."""
    remarks = [*known.remarks, f"the solution {remark}"]
    slower = statistics.median(_flat(witnesses)) > statistics.median(_flat(known.trials))
    return Latency(witnesses if slower else known.trials, remarks)
